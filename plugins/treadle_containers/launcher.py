"""The start of an attempt's container: created or adopted, and started at most once.

runtime.py describes the steps. This module handles what interrupts them:

- The container engine is unreachable: the call is retried until a timeout, then the start fails.
- The image was removed after it had been found: the cache of images is cleared, and the image is made again.
- The container's name is taken: the container of that name is adopted, unless it was started before. Then a
  power cut has taken the record of that start, and the attempt is lost. If the engine shows none, it may be
  still creating it, or a create was interrupted: a killed Podman keeps the name for ever and shows no
  container. So the name is given some time, then removed, and the container is created again.
- The engine becomes unreachable in `prepare`: the program has not begun. The container is removed and
  created again.
- The engine becomes unreachable in `start`: the program may have begun. The container is inspected, and
  started if it has never been started. If that start is refused, the next case applies.
- A process that takes part in the start is killed (a monitor, an OCI runtime): the program may have begun.
  The container is removed, so nothing of it is alive. `wait` then reports the attempt as lost, and the
  service's policy for lost attempts decides about another one.
- A start is refused that may have been asked for before, by a killed process of ours: what is left of an
  interrupted start can refuse the next one, with messages that belong to no fault of the container. So
  whatever the message, this is the case above. A fault of the container fails the next attempt's start.
- Any other error fails the start.

Dropped: a start without `prepare` as a call of its own, since then every interrupted start may have begun
the program; and to fail the job for a killed monitor or for a name without a container, since these are
faults of the host and not of the job.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from treadle import Attempt, Command
from treadle_containers import spec
from treadle_containers.engine import (
    ContainerEngine,
    ContainerState,
    EngineError,
    EngineUnreachable,
    NameTaken,
    NoSuchImage,
)
from treadle_containers.faults import broken_off
from treadle_containers.images import BuildLog, Images
from treadle_containers.record import Record
from treadle_containers.retries import retry_within

log = logging.getLogger(__name__)

_NAME_BACKOFF = (0.2, 1.0)
"""Seconds to wait for a container that holds its name and is not visible yet, before the name is removed."""

_STARTED_BEFORE = "its container was started before, and the record of it is gone, perhaps by a power cut"

Answer = TypeVar("Answer")


class Launcher:
    """Creates and starts the containers of attempts on one container engine.

    It lives as long as its runtime, which calls it for several attempts at a time. Its progress is in the
    attempts' records, so that a later process continues where a killed one stopped.
    """

    def __init__(
        self, engine: ContainerEngine, images: Images, unreachable_timeout: float, runtime: str
    ) -> None:
        """Use a container engine, which may be unreachable for so many seconds, for the runtime of a name."""
        self._runtime = runtime
        self._engine = engine
        self._images = images
        self._unreachable_timeout = unreachable_timeout

    async def start(self, attempt: Attempt, command: Command) -> None:
        """Start the attempt's container unless it has been started before; raise EngineError."""
        record = Record.read(attempt)
        if record is not None and (record.over or record.outdated):
            return
        started = False
        while not started:
            fresh = record is None or record.id is None
            if record is None or record.id is None:
                record = await self.create(attempt, command, resumed=record is not None)
                if record.over:
                    return
            if not (started := await self._start_once(str(record.id), fresh)):
                record = msgspec.structs.replace(record, id=None).write(attempt)

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

    async def _create_recorded(self, attempt: Attempt, command: Command, resumed: bool) -> Record:
        """Make the image ready; record the name, create the container, record the id."""
        build_log = BuildLog(attempt.folder / "build.log")
        image, info = await self._retry(lambda: self._images.ready(attempt.service, build_log))
        limits = spec.Limits.of(attempt.service, self._runtime)
        container = spec.ContainerSpec(
            name=spec.container_name(attempt),
            image=image,
            command=command.argv,
            environment=command.environment,
            labels=spec.labels(attempt),
            reads=command.reads,
            writes=command.writes,
            user=limits.user_of(info.user),
            limits=limits,
        )
        record = Record(name=container.name, boot=self._engine.boot()).write(attempt)
        found = await self._retry(lambda: self._create_or_find(container, resumed))
        if isinstance(found, str):
            return msgspec.structs.replace(record, id=found).write(attempt)
        if found.labels.get(spec.SPOOL) != attempt.spool_id:
            raise EngineError(f"the name {container.name} is in use by a container of somebody else")
        if found.started:
            log.warning("container %s was started before, and nothing recorded it", found.id[:12])
            return msgspec.structs.replace(record, over=True, lost=_STARTED_BEFORE).write(attempt)
        return msgspec.structs.replace(record, id=found.id).write(attempt)

    async def _create_or_find(self, container: spec.ContainerSpec, resumed: bool) -> str | ContainerState:
        """Return the id of a new container, or the state of the one that has its name."""
        if resumed and (existing := await self._engine.inspect(container.name)):
            return existing
        for delay in (*_NAME_BACKOFF, None):
            try:
                return await self._engine.create(container)
            except NameTaken:
                if existing := await self._engine.inspect(container.name):
                    return existing
                if delay is None:
                    raise
            await asyncio.sleep(delay)
            # An engine that was killed during a create keeps the name and shows no container.
            await self._engine.remove(container.name)
        raise AssertionError("the last try returns or raises")

    async def _start_once(self, container: str, fresh: bool) -> bool:
        """Start a container unless it has been started before; fresh says that it has not.

        Returns False if the engine became unreachable before the program could begin. The container has
        been removed then, and may be created again.
        """
        if not fresh:
            state = await self._retry(partial(self._engine.inspect, container))
            if state is None or state.started:
                return True
        try:
            await self._engine.prepare(container)
        except EngineUnreachable:
            await self._retry(partial(self._engine.remove, container))
            return False
        except EngineError as error:
            await self._discard_interrupted(container, error, fresh)
            return True
        try:
            await self._engine.start(container)
        except EngineUnreachable:
            await self._retry(partial(self._start_unless_started, container))
        except EngineError as error:
            await self._discard_interrupted(container, error, fresh)
        return True

    async def _discard_interrupted(self, container: str, error: EngineError, fresh: bool) -> None:
        """Remove a container whose start was interrupted; raise the error if it has another cause.

        With fresh, no start was asked for before the one that has failed.
        """
        if fresh and not broken_off(error):
            raise error
        log.warning("container %s is lost: its start was interrupted: %s", container[:12], error)
        await self._retry(partial(self._engine.remove, container))

    async def _start_unless_started(self, container: str) -> None:
        """Start a container for which the engine has not answered an earlier request to start."""
        state = await self._engine.inspect(container)
        if state is None or state.started:
            return
        try:
            await self._engine.start(container)
        except EngineUnreachable:
            raise
        except EngineError as error:
            await self._discard_interrupted(container, error, fresh=False)

    async def _retry(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        return await retry_within(self._unreachable_timeout, call)
