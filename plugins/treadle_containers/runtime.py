"""A runtime over a container engine: an attempt is one container, and the container outlives Treadle.

`container.json` in the attempt's folder (record.py) records each step of a start before the step is done:

1. Record the container's name. It is derived from spool, job and attempt, so it is the same each time.
2. Create the container under that name, or adopt a container that already has it.
3. Record the container's id.
4. Start the container.

`start` may be called again, also by another process after a crash, and continues from the record:

- no record: step 1;
- a name and no id: step 2. A container that is found there was never started, because of step 3;
- an id: the container is not created again. It is inspected, and started only if it has never been started:
  both engines run an exited container again when it is started a second time;
- `over`: nothing. `stop` sets it before it stops the container, and `wait` sets it if there is no id;
- another boot: nothing, as for `over`.

Invariant: an attempt has at most one container at a time, and its program is never started twice. Where an
interrupted start leaves it unknown whether the program has begun, the container is removed, and the attempt
is lost (launcher.py).

A power cut tears our record, and the engine's own files: its database, the exit, the log. So the record says
under which boot of the engine's host it was made. After another boot, or without a record that can be read,
nothing is believed: `wait` removes the container, by its name if need be, and the attempt is lost. Of a
container engine on another host the boot is not known. Its containers go on when this host goes down.

Dropped: to sync the record, which each job would pay for; and to believe an exit that the engine knows after
another boot, since nothing says whether the log beside it is whole.

`wait` copies the log while the container runs and once more after its end (log_copy.py). `cleanup` removes
the container, and `tidy` removes those that no live attempt needs (orphans.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from treadle import Attempt, Command, Diagnosis, Exit, Reason, Runtime, Service, may_pass, open_untrusted
from treadle_containers import spec
from treadle_containers.engine import ContainerEngine, EngineError
from treadle_containers.faults import init_error, start_error
from treadle_containers.images import Images
from treadle_containers.launcher import Launcher
from treadle_containers.log_copy import LogCopy
from treadle_containers.orphans import Orphans
from treadle_containers.record import Record
from treadle_containers.retries import retry_until_reached
from treadle_containers.termination import discard_container, exit_of, stop_container

log = logging.getLogger(__name__)

_HEAD = 4096
"""Bytes of stderr in which an init tells that it could not execute the program."""
_LOOK_TIMEOUT = 1.0
"""Seconds for the search for a container that no record names."""


class ContainerRuntime(Runtime):
    """Runs attempts as containers of one container engine; a plugin's runtime derives from it.

    An instance lives as long as Treadle's process, which calls its methods for several attempts at a time.
    After a crash the next instance finds an attempt's container by the record in the attempt's folder.
    """

    kinds = frozenset({"container"})
    images = True
    options = spec.Limits

    def __init__(
        self, engine: ContainerEngine, *, patience: float = 10.0, stranger_grace: float = 60.0
    ) -> None:
        """Use a container engine.

        patience: seconds that the engine may be unreachable when a job is to be started.
        stranger_grace: seconds until a container that belongs to no live attempt is removed.
        """
        self._engine = engine
        self._unreachable_timeout = patience
        self._images = Images(engine)
        self._launcher = Launcher(engine, self._images, patience, self.name)
        self._orphans = Orphans(engine, stranger_grace)

    def check(self, service: Service) -> None:
        """Raise ServiceError for invalid limits."""
        spec.Limits.of(service, self.name)

    async def missing(self, service: Service) -> str | None:
        """Return why the image that the service names is missing; None where the engine does not answer."""
        try:
            return await self._images.missing(service)
        except EngineError:
            return None

    def limits(self, service: Service) -> dict[str, Any]:
        """Return what the container may do and use."""
        return spec.Limits.of(service, self.name).describe()

    async def diagnose(self) -> Diagnosis:
        """Return whether the container engine answers."""
        try:
            async with asyncio.timeout(self._unreachable_timeout):
                version = await self._engine.version()
        except (EngineError, TimeoutError) as error:
            detail = str(error) or f"it did not answer within {self._unreachable_timeout:g} s"
            return Diagnosis(f"runtime {self.name}", works=False, detail=detail, remedy=self._engine.remedy())
        return Diagnosis(f"runtime {self.name}", works=True, detail=version)

    async def diagnose_and_close(self) -> list[Diagnosis]:
        """Return the diagnosis of a runtime that was made for it, and close the runtime."""
        try:
            return [await self.diagnose()]
        finally:
            await self.close()

    async def prepare(self, service: Service, report: Callable[[str], None]) -> None:
        """Build, load, pull or find the service's image; raise StartError."""
        try:
            name, _ = await self._images.ready(service, report)
        except EngineError as error:
            raise start_error(self._engine, error) from error
        report(f"image {name} is ready")

    async def prune(self, keep: int, service: Service | None = None, *, dry_run: bool = False) -> list[str]:
        """Remove images that were built or loaded for services, but the newest ones of each."""
        try:
            return await self._images.prune(keep, service, dry_run)
        except EngineError as error:
            raise start_error(self._engine, error) from error

    async def start(self, attempt: Attempt, command: Command) -> None:
        """Create the container and start it, or adopt the one of an earlier call; raise StartError."""
        try:
            await self._launcher.start(attempt, command)
        except EngineError as error:
            raise start_error(self._engine, error) from error

    async def wait(self, attempt: Attempt) -> Exit:
        """Wait for the container's end; its whole log is in the attempt's folder then.

        Raises StartError where the container's init could not execute the program.
        """
        record = Record.read(attempt) or Record()
        if record.id is None or record.outdated:
            return await self._give_up(attempt, record)
        limits = spec.Limits.of(attempt.service, self.name)
        log_copy = LogCopy(self._engine, attempt, record, limits.output_limit)
        async with log_copy.following():
            state = await retry_until_reached(partial(self._engine.wait, record.id))
        if state is None:
            return Exit(Reason.LOST, detail="its container has been removed")
        cut = await log_copy.complete()
        if limits.init and (error := init_error(state.code, _head(attempt.stderr))) is not None:
            raise error
        return exit_of(state, limits, cut, log_copy.record)

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Stop the container, and prevent a later start; a record that can't be written changes nothing.

        Raises a transient error of the disk only after the container has been stopped.
        """
        record = Record.read(attempt) or Record(name=await self._unrecorded(attempt))
        fault = None
        try:
            msgspec.structs.replace(record, over=True).write(attempt)
        except OSError as error:
            log.error("container of job %s: its stop can't be recorded: %s", attempt.job.id, error)
            fault = error
        if record.container is not None:
            stop = partial(stop_container, self._engine, record.container, attempt.spool_id, grace)
            await retry_until_reached(stop)
        if fault is not None and may_pass(fault):
            raise fault

    async def cleanup(self, attempt: Attempt) -> None:
        """Remove the container."""
        record = Record.read(attempt)
        if record is not None and record.id is not None:
            await self._engine.remove(record.id)
        elif record is not None and record.container is not None:
            await discard_container(self._engine, record.container, attempt.spool_id)

    async def tidy(self, spool_id: str, alive: Callable[[str, int], bool]) -> None:
        """Remove containers of the spool whose attempts have not been alive for a while."""
        await self._orphans.remove(spool_id, alive)

    async def close(self) -> None:
        """Close the connections to the container engine; the containers continue."""
        await self._engine.close()

    async def _give_up(self, attempt: Attempt, record: Record) -> Exit:
        """Remove the container that the attempt may have, prevent a start, and return that it is lost."""
        record = msgspec.structs.replace(record, over=True).write(attempt)
        if record.container is not None:
            discard = partial(discard_container, self._engine, record.container, attempt.spool_id)
            await retry_until_reached(discard)
        if record.outdated:
            return Exit(Reason.LOST, detail="the host was restarted before the end of its container was seen")
        return Exit(Reason.LOST, detail=record.lost or "the engine ended before it was started")

    async def _unrecorded(self, attempt: Attempt) -> str:
        """Return the attempt's container name if there is a container without a record, else an empty text.

        As a rule there is none, and an engine that does not answer must not hold up a cancel.
        """
        name = spec.container_name(attempt)
        with suppress(EngineError, TimeoutError):
            async with asyncio.timeout(_LOOK_TIMEOUT):
                state = await self._engine.inspect(name)
            if state is not None and state.labels.get(spec.SPOOL) == attempt.spool_id:
                return name
        return ""


def _head(path: Path) -> bytes:
    """Return the beginning of a log."""
    with os.fdopen(open_untrusted(path, os.O_RDONLY), "rb") as file:
        return file.read(_HEAD)
