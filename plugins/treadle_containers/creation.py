"""The creation of an attempt's container, or the adoption of one that has its name already.

launcher.py says what interrupts a start. Here: an image that was removed, a name that is taken, an engine
without an init, and an image whose user turns out to be root.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol, TypeVar

import msgspec

from treadle import Attempt, Command
from treadle_containers import spec
from treadle_containers.engine import (
    ContainerEngine,
    ContainerState,
    EngineError,
    ImageInfo,
    NameTaken,
    NoInit,
    NoSuchImage,
)
from treadle_containers.images import BuildLog, Images
from treadle_containers.record import Record
from treadle_containers.users import Users

log = logging.getLogger(__name__)

_NAME_BACKOFF = (0.2, 1.0)
"""Seconds to wait for a container that holds its name and is not visible yet, before the name is removed."""

_STARTED_BEFORE = "its container was started before, and the record of it is gone, perhaps by a power cut"

Answer = TypeVar("Answer")


class Retry(Protocol):
    """Calls a function again while the container engine is unreachable, for a while."""

    async def __call__(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return what the call returns."""


class Creation:
    """Creates the containers of attempts on one container engine; a part of Launcher, which lives as long."""

    def __init__(self, engine: ContainerEngine, images: Images, runtime: str, retry: Retry) -> None:
        """Use a container engine for the runtime of a name."""
        self._runtime = runtime
        self._engine = engine
        self._images = images
        self._retry = retry
        self._users = Users(engine)
        self._has_init = True
        """Whether the engine has an init for containers, as far as it is known."""

    async def create(self, attempt: Attempt, command: Command, resumed: bool) -> Record:
        """Create the attempt's container, or adopt an existing one, and return the record with its id.

        With resumed, an existing container is looked for first. If the existing one has been started before,
        the record says that the attempt is over, and has no id.
        """
        try:
            return await self._create_recorded(attempt, command, resumed)
        except NoSuchImage:
            self._images.forget()  # the image was in the cache, and has been removed since
            return await self._create_recorded(attempt, command, resumed=True)

    def do_without_init(self, error: NoInit) -> None:
        """Create no container with an init any more, since the engine has none; log that."""
        self._has_init = False
        log.warning(
            "%s has no init for containers (%s): a program that does not handle SIGTERM is stopped only "
            "after the grace period",
            self._engine.name,
            error,
        )

    async def _create_recorded(self, attempt: Attempt, command: Command, resumed: bool) -> Record:
        """Make the image ready; record the name, create the container, record the id."""
        build_log = BuildLog(attempt.folder / "build.log")
        image, info = await self._retry(lambda: self._images.ready(attempt.service, build_log))
        container = self._spec(attempt, command, image, info)
        record = Record(name=container.name, boot=self._engine.boot()).write(attempt)
        found = await self._retry(lambda: self._create_checked(container, info, resumed))
        if isinstance(found, str):
            return msgspec.structs.replace(record, id=found).write(attempt)
        if found.labels.get(spec.SPOOL) != attempt.spool_id:
            raise EngineError(f"the name {container.name} is in use by a container of somebody else")
        if found.started:
            log.warning("container %s was started before, and nothing recorded it", found.id[:12])
            return msgspec.structs.replace(record, over=True, lost=_STARTED_BEFORE).write(attempt)
        return msgspec.structs.replace(record, id=found.id).write(attempt)

    def _spec(self, attempt: Attempt, command: Command, image: str, info: ImageInfo) -> spec.ContainerSpec:
        limits = spec.Limits.of(attempt.service, self._runtime)
        return spec.ContainerSpec(
            name=spec.container_name(attempt),
            image=image,
            command=command.argv,
            environment={**spec.unless_set(info.variables), **command.environment},
            labels=spec.labels(attempt),
            reads=command.reads,
            writes=command.writes,
            user=limits.user_of(info.user, is_root=False),
            limits=limits,
            init=limits.init and self._has_init,
        )

    async def _create_checked(
        self, container: spec.ContainerSpec, info: ImageInfo, resumed: bool
    ) -> str | ContainerState:
        """Return the id of a new container, or the state of the one that has its name.

        One that is to be started has the user that it should have: root only if the service says so.
        """
        is_root = False if container.limits.user is not None else self._users.is_root(info)
        if is_root is None:
            found = await self._create_or_find(container, resumed)
            if not _may_be_started(found, container):
                return found
            container_id = found if isinstance(found, str) else found.id
            if not (is_root := await self._users.look_up(info, container_id)):
                return found
            await self._engine.remove(container_id)
        container = replace(container, user=container.limits.user_of(info.user, is_root))
        found = await self._create_or_find(container, resumed)
        if isinstance(found, str) or not _may_be_started(found, container) or found.user == container.user:
            return found
        await self._engine.remove(found.id)
        return await self._create_or_find(container, resumed=False)

    async def _create_or_find(self, container: spec.ContainerSpec, resumed: bool) -> str | ContainerState:
        """Return the id of a new container, or the state of the one that has its name."""
        if resumed and (existing := await self._engine.inspect(container.name)):
            return existing
        for delay in (*_NAME_BACKOFF, None):
            try:
                return await self._create(container)
            except NameTaken:
                if existing := await self._engine.inspect(container.name):
                    return existing
                if delay is None:
                    raise
            await asyncio.sleep(delay)
            # An engine that was killed during a create keeps the name and shows no container.
            await self._engine.remove(container.name)
        raise AssertionError("the last try returns or raises")

    async def _create(self, container: spec.ContainerSpec) -> str:
        try:
            return await self._engine.create(container)
        except NoInit as error:
            self.do_without_init(error)
            return await self._engine.create(replace(container, init=False))


def _may_be_started(found: str | ContainerState, container: spec.ContainerSpec) -> bool:
    """Return whether a container is the attempt's own, and has never been started."""
    if isinstance(found, str):
        return True
    return not found.started and found.labels.get(spec.SPOOL) == container.labels[spec.SPOOL]
