"""A runtime over a container engine: attempts as containers that outlive this engine."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from treadle import Attempt, Diagnosis, Exit, Reason, Runtime, Service
from treadle_containers import spec
from treadle_containers.engine import (
    ContainerEngine,
    ContainerState,
    EngineError,
    EngineUnreachable,
    NameTaken,
    NoSuchImage,
)
from treadle_containers.faults import broken_off, start_error
from treadle_containers.images import Images, check_source
from treadle_containers.inputs import write_inputs
from treadle_containers.logs import LogFile
from treadle_containers.record import Record

log = logging.getLogger(__name__)

_SHORT = 0.2
"""Seconds that a container has to end before its log is followed; until then one copy is enough."""
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Seconds between tries to reach an engine that does not answer; the last one again and again."""
_HALF_MADE = (0.2, 1.0)
"""Seconds that a name may be taken by a container that is still being made, before that is removed."""
_KILLED = 137

Answer = TypeVar("Answer")


class ContainerRuntime(Runtime):
    """Runs attempts as containers of one engine.

    `container.json` in the attempt's folder is what is intended, put down before it is done: first
    the container's name, then its id. With an id it is never made again, and it is started only if it
    never was. Containers carry labels by which one that nobody needs any more is known.
    """

    kinds = frozenset({"container"})
    options: ClassVar[Mapping[str, type | tuple[type, ...]]] = {
        "image": str,
        "command": list,
        "pull": bool,
        **spec.Limits.OPTIONS,
    }

    def __init__(
        self, engine: ContainerEngine, *, patience: float = 10.0, stranger_grace: float = 60.0
    ) -> None:
        """Use an engine that may be away for `patience` seconds when a job is to be started."""
        self._engine = engine
        self._images = Images(engine)
        self._patience = patience
        self._stranger_grace = stranger_grace
        self._strangers: dict[str, float] = {}

    def check(self, service: Service) -> None:
        """Raise ServiceError for limits that make no sense, or no image."""
        spec.Limits.of(service)
        check_source(service)

    def limits(self, service: Service) -> dict[str, Any]:
        """Return what the container may do and use."""
        return spec.Limits.of(service).describe()

    async def diagnose(self) -> Diagnosis:
        """Say whether the engine answers."""
        try:
            async with asyncio.timeout(self._patience):
                version = await self._engine.version()
        except (EngineError, TimeoutError) as error:
            detail = str(error) or f"it did not answer within {self._patience:g} s"
            return Diagnosis(f"runtime {self.name}", works=False, detail=detail, remedy=self._engine.remedy())
        return Diagnosis(f"runtime {self.name}", works=True, detail=version)

    async def prepare(self, service: Service, report: Callable[[str], None]) -> None:
        """Build, load or find the service's image."""
        try:
            name, _ = await self._images.ready(service, report)
        except EngineError as error:
            raise start_error(self._engine, error) from error
        report(f"image {name} is ready")

    async def start(self, attempt: Attempt) -> None:
        """Make the container and start it, or find the one that an earlier engine has made."""
        record = Record.read(attempt.folder)
        if record is not None and record.over:
            return
        try:
            begun = False
            while not begun:
                fresh = record is None or record.id is None
                if record is None or record.id is None:
                    record = await self._make(attempt, resumed=record is not None)
                if not (begun := await self._begin(str(record.id), fresh)):
                    record = msgspec.structs.replace(record, id=None).write(attempt.folder)
        except EngineError as error:
            raise start_error(self._engine, error) from error

    async def wait(self, attempt: Attempt) -> Exit:
        """Wait for the container's end; its whole log is in the attempt's folder then."""
        record = Record.read(attempt.folder)
        if record is None or record.id is None:
            Record(over=True).write(attempt.folder)
            return Exit(Reason.LOST, detail="the engine ended before it was started")
        with _logs(attempt) as logs:
            state = await self._until_over(attempt, record.id, logs)
        if state is None:
            return Exit(Reason.LOST, detail="its container has gone")
        record = Record.read(attempt.folder) or record
        cut = await self._copy_whole_log(attempt, state.id, record.overflowed)
        return _exit(state, attempt, cut, record)

    async def stop(self, attempt: Attempt, grace: float) -> None:
        """Stop the container, and see to it that it is not started later."""
        record = Record.read(attempt.folder) or Record()
        record = msgspec.structs.replace(record, over=True).write(attempt.folder)
        if target := record.id or record.name:
            await self._whenever(lambda: self._stop(target, grace))

    async def cleanup(self, attempt: Attempt) -> None:
        """Remove the container."""
        record = Record.read(attempt.folder)
        if record is not None and (target := record.id or record.name):
            await self._engine.remove(target)

    async def tidy(self, spool_id: str, alive: Callable[[str, int], bool]) -> None:
        """Remove containers of the spool whose attempts have been over for a while."""
        try:
            found = await self._engine.containers(spec.SPOOL, spool_id)
        except EngineUnreachable:
            return
        strangers = {each.id for each in found if not await asyncio.to_thread(_alive, each, alive)}
        now = time.monotonic()
        self._strangers = {each: self._strangers.get(each, now) for each in strangers}
        for each, since in self._strangers.items():
            if now - since >= self._stranger_grace:
                log.warning("container %s belongs to no job any more; it is removed", each[:12])
                await self._engine.remove(each)

    async def close(self) -> None:
        """Close the connections to the engine; the containers go on."""
        await self._engine.close()

    # ------------------------------------------------------------------ starting

    async def _make(self, attempt: Attempt, resumed: bool) -> Record:
        """Make the attempt's container and return its record; one that is there already is taken."""
        try:
            return await self._make_of_image(attempt, resumed)
        except NoSuchImage:
            self._images.forget()  # it was there once, and somebody has removed it
            return await self._make_of_image(attempt, resumed=True)

    async def _make_of_image(self, attempt: Attempt, resumed: bool) -> Record:
        progress = _Progress(attempt.folder / "build.log")
        image, info = await self._patiently(lambda: self._images.ready(attempt.service, progress))
        limits = spec.Limits.of(attempt.service)
        await asyncio.to_thread(write_inputs, attempt)
        container = spec.ContainerSpec(
            name=spec.container_name(attempt),
            image=image,
            command=tuple(attempt.service.options.get("command", ())),
            environment=attempt.service.environment,
            labels=spec.labels(attempt),
            input=attempt.input,
            user=limits.user_of(info.user),
            limits=limits,
        )
        record = Record(name=container.name).write(attempt.folder)
        created = await self._patiently(lambda: self._create(container, resumed))
        return msgspec.structs.replace(record, id=created).write(attempt.folder)

    async def _create(self, container: spec.ContainerSpec, resumed: bool) -> str:
        if resumed and (found := await self._engine.inspect(container.name)):
            return found.id
        for pause in (*_HALF_MADE, None):
            try:
                return await self._engine.create(container)
            except NameTaken:
                if found := await self._engine.inspect(container.name):
                    return found.id
                if pause is None:
                    raise
            await asyncio.sleep(pause)
            # An engine killed in the middle of a create keeps the name, and shows nobody the container.
            await self._engine.remove(container.name)
        raise AssertionError("the last try returns or raises")

    async def _begin(self, container: str, fresh: bool) -> bool:
        """Have a container's program begin, unless it has begun before.

        Returns False if the engine broke off before that: then the container has been removed, and
        may be made anew. If it breaks off later, or what takes part in a start is killed, nobody can tell
        whether the program has begun; once the container is removed nothing of it is alive, and wait
        finds the attempt lost.
        """
        if not fresh:
            state = await self._patiently(partial(self._engine.inspect, container))
            if state is None or state.started:
                return True
        try:
            await self._engine.prepare(container)
        except EngineUnreachable:
            await self._patiently(partial(self._engine.remove, container))
            return False
        except EngineError as error:
            await self._lose(container, error)
            return True
        try:
            await self._engine.start(container)
        except EngineUnreachable:
            await self._patiently(partial(self._begin_after_all, container))
        except EngineError as error:
            await self._lose(container, error)
        return True

    async def _lose(self, container: str, error: EngineError) -> None:
        """Remove a container whose start was broken off; raise the error if it failed for another reason."""
        if not broken_off(error):
            raise error
        log.warning("container %s is lost: its start was broken off: %s", container[:12], error)
        await self._patiently(partial(self._engine.remove, container))

    async def _begin_after_all(self, container: str) -> None:
        state = await self._engine.inspect(container)
        if state is None or state.started:
            return
        try:
            await self._engine.start(container)
        except EngineUnreachable:
            raise
        except EngineError as error:
            log.warning("container %s is lost: its start was broken off: %s", container[:12], error)
            await self._engine.remove(container)

    async def _patiently(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call an engine that may just be restarting; give up when that takes too long."""
        end = time.monotonic() + self._patience
        for pause in _pauses():
            try:
                return await call()
            except EngineUnreachable:
                if time.monotonic() + pause > end:
                    raise
                await asyncio.sleep(pause)
        raise AssertionError("the pauses never end")

    # ------------------------------------------------------------------ waiting and stopping

    async def _whenever(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Call an engine until it answers, however long it is away: its containers may be running."""
        for number, pause in enumerate(_pauses()):
            try:
                return await call()
            except EngineUnreachable as error:
                if number == len(_PAUSES):
                    log.warning("%s; it is asked again and again", error)
                await asyncio.sleep(pause)
        raise AssertionError("the pauses never end")

    async def _until_over(
        self, attempt: Attempt, container: str, logs: Mapping[str, LogFile]
    ) -> ContainerState | None:
        following = asyncio.create_task(self._follow(attempt, container, logs))
        try:
            return await self._whenever(lambda: self._engine.wait(container))
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    async def _copy_whole_log(self, attempt: Attempt, container: str, known: bool) -> bool:
        """Copy what following the log has missed; return whether it is longer than what is kept of it.

        known says that it is: a file that has all it may is left as it is then.
        """
        with _logs(attempt) as logs:
            for _ in logs:  # one that is full ends the copy of the other
                left = {
                    name: each for name, each in logs.items() if not (each.full or (known and each.complete))
                }
                for each in left.values():
                    each.again()
                if left:
                    await self._whenever(partial(self._engine.copy_log, container, left, follow=False))
            return any(each.full for each in logs.values())

    async def _follow(self, attempt: Attempt, container: str, logs: Mapping[str, LogFile]) -> None:
        """Copy the log while the container runs; what is missed here is in the last copy."""
        await asyncio.sleep(_SHORT)
        watching = asyncio.create_task(self._end_when_full(attempt, container, logs))
        try:
            for pause in _pauses():
                with suppress(EngineError):
                    await self._engine.copy_log(container, logs, follow=True)
                await asyncio.sleep(pause)
                for each in logs.values():
                    each.again()
        finally:
            watching.cancel()

    async def _end_when_full(self, attempt: Attempt, container: str, logs: Mapping[str, LogFile]) -> None:
        """End a container that prints more than it may: its engine would keep all of that."""
        limit = spec.Limits.of(attempt.service).output_limit
        while not any(each.full for each in logs.values()):
            await asyncio.sleep(_SHORT)
            with suppress(EngineError):
                if await self._engine.overflows(container, limit):
                    break
        record = Record.read(attempt.folder) or Record(id=container)
        msgspec.structs.replace(record, overflowed=True).write(attempt.folder)
        await self._whenever(lambda: self._stop(container, 0))

    async def _stop(self, container: str, grace: float) -> None:
        state = await self._engine.inspect(container)
        if state is not None and state.running:
            await self._engine.stop(state.id, grace)
        elif state is not None and not state.started:
            await self._engine.remove(state.id)


@contextmanager
def _logs(attempt: Attempt) -> Iterator[dict[str, LogFile]]:
    """Open the attempt's log files, to be written from their start."""
    limit = spec.Limits.of(attempt.service).output_limit
    with LogFile(attempt.stdout, limit) as stdout, LogFile(attempt.stderr, limit) as stderr:
        yield {"stdout": stdout, "stderr": stderr}


def _exit(state: ContainerState, attempt: Attempt, cut: bool, record: Record) -> Exit:
    """Say how an attempt ended, from its container's last state."""
    limits = spec.Limits.of(attempt.service)
    ended = state.ended or datetime.now(UTC)
    told = f"its output was cut at {limits.output_limit} bytes" if cut else ""
    if not state.started:
        return Exit(Reason.LOST, ended=ended, detail="its container was never started")
    if record.overflowed:
        detail = f"it printed more than the {limits.output_limit} bytes it may, and was ended"
        return Exit(Reason.OUTPUT_LIMIT, state.code, ended=ended, detail=detail)
    killed = state.code == _KILLED and limits.memory is not None and not record.over
    if state.out_of_memory or killed:
        # Some kernels and engines don't tell: a kill that nobody asked for, within a memory limit, is one.
        allowed = "there is" if limits.memory is None else f"the {limits.memory:g} GB it may use"
        detail = f"it was killed because it wanted more memory than {allowed}"
        return Exit(Reason.OUT_OF_MEMORY, state.code, ended=ended, detail=detail)
    return Exit(Reason.ENDED, state.code, ended=ended, detail=state.error or told or None)


def _alive(container: ContainerState, alive: Callable[[str, int], bool]) -> bool:
    number = container.labels.get(spec.ATTEMPT, "")
    return number.isdigit() and alive(container.labels.get(spec.JOB, ""), int(number))


def _pauses() -> Iterator[float]:
    yield from _PAUSES
    while True:
        yield _PAUSES[-1]


class _Progress:
    """build.log: how an image came about, where an attempt was the first to need it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, line: str) -> None:
        with self._path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(line.rstrip("\n") + "\n")
