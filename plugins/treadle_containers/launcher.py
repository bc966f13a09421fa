"""The start of an attempt's container: created or adopted, and started at most once.

runtime.py describes the steps. This module handles what interrupts them:

- The container engine is unreachable: the call is retried until a timeout, then the start fails.
- The image was removed after it had been found: the cache of images is cleared, and the image is made again.
- The engine has no init to put into a container: it is created without one, and so are all others.
- The user that the image names turns out to be root: the container is created again for `nobody` (users.py).
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

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from treadle import Attempt, Command
from treadle_containers.creation import Creation
from treadle_containers.engine import (
    ContainerEngine,
    EngineError,
    EngineUnreachable,
    NoInit,
)
from treadle_containers.faults import broken_off
from treadle_containers.images import Images
from treadle_containers.record import Record
from treadle_containers.retries import retry_within

log = logging.getLogger(__name__)

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
        self._engine = engine
        self.creation = Creation(engine, images, runtime, self._retry)
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
                record = await self.creation.create(attempt, command, resumed=record is not None)
                if record.over:
                    return
            if not (started := await self._start_once(str(record.id), fresh)):
                record = msgspec.structs.replace(record, id=None).write(attempt)

    async def _start_once(self, container: str, fresh: bool) -> bool:
        """Start a container unless it has been started before; fresh says that it has not.

        Returns False if the program could not begin, since the engine became unreachable or has no init. The
        container has been removed then, and may be created again.
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
        except NoInit as error:
            self.creation.do_without_init(error)
            await self._retry(partial(self._engine.remove, container))
            return False
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
