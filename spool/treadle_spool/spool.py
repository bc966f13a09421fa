"""The spool: accept, claim, finish, cancel, look up. A job's state is the place where its files are.

The functions here block on the disk; each leaves the spool in a state that FORMAT.md names, whichever
system call it is killed at.
"""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import msgspec

from treadle_spool import durable, reading
from treadle_spool.accept import Acceptor, pending
from treadle_spool.descriptor import Descriptor
from treadle_spool.errors import InvalidDescriptor, SpoolError, UnknownJob
from treadle_spool.folder import (
    ATTEMPT,
    JOB,
    RESULT,
    STATUS,
    leave,
    put_down,
    read_descriptor,
    write_quickly,
)
from treadle_spool.identity import FOLDERS, identify
from treadle_spool.lock import EngineLock
from treadle_spool.names import check_name
from treadle_spool.quarantine import Quarantine
from treadle_spool.status import AttemptRecord, LiveAttempt, State, Status, now


class Spool:
    """A spool folder. Any number of processes may accept, cancel and look up; one engine claims and ends."""

    def __init__(self, root: Path, spool_id: str) -> None:
        self.root = root
        self.id = spool_id
        self.drop, self.tmp, self.queue, self.cancel, self.run, self.done, self.bad = (
            root / name for name in FOLDERS
        )
        # As text: joining paths costs more than most of what is done with them.
        self._tmp, self._queue, self._cancel, self._run, self._done = map(
            str, (self.tmp, self.queue, self.cancel, self.run, self.done)
        )
        self.quarantine = Quarantine(self.bad, self.new_in_tmp)
        self._stage_numbers = itertools.count()
        self._acceptor = Acceptor(self._queue, self._done, self._draft_path)
        self._sync_done = durable.SharedSync(self.done)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the spool at root, making it where there is none; raise NotASpool for anything else."""
        root = root.absolute()
        return cls(root, identify(root))

    def lock(self) -> EngineLock:
        """Return the lock that an engine holds while it claims and ends jobs."""
        return EngineLock(self.root / "engine.lock")

    def queued(self, name: str) -> Path:
        """Return where the descriptor of a job stands for as long as the job is owed."""
        return self.queue / f"{name}.json"

    # ------------------------------------------------------------------ what anybody may do

    def accept(self, descriptor: Descriptor, name: str | None = None) -> Status:
        """Put a job into the queue. When this returns, the job survives a power cut.

        Raises NameTaken, UnsafeName, or OSError; then the job is not in the queue.
        """
        (outcome,) = self.accept_all([(descriptor, name)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def accept_all(
        self, jobs: Iterable[tuple[Descriptor, str | None]]
    ) -> list[Status | SpoolError | OSError]:
        """Put jobs into the queue as `accept` does each, but with one fsync of the folder for all.

        Returns for each what `accept` would return or raise.
        """
        return self._acceptor.accept_all(jobs)

    def ask_to_cancel(self, name: str) -> Status:
        """Ask the engine to end a job, and return the job as it is now; an ended one stays as it is."""
        status = self.look_up(name)
        if not status.status.ended:
            with suppress(FileExistsError):
                durable.write(self.cancel / name, b"")
            durable.sync_folder(self.cancel)
        return status

    def look_up(self, name: str) -> Status:
        """Return the job as it is now; raise UnknownJob.

        A job may move on between two looks, so after each place that it may have left follows the
        one where it ends: it is never missed, and one that has ended is not told as waiting because
        it still stands in queue/.
        """
        check_name(name)
        for find in (self._ended, self._running, self._ended, self._waiting, self._ended):
            with suppress(FileNotFoundError, NotADirectoryError):
                return find(name)
        raise UnknownJob(f"no job named {name!r}")

    def folder(self, name: str) -> Path:
        """Return the folder of a job that has been started; raise FileNotFoundError while it has none."""
        check_name(name)
        for place in (self.done, self.run, self.done):
            if (folder := place / name).is_dir():
                return folder
        raise FileNotFoundError(name)

    def names(self, place: Path) -> Iterator[str]:
        """Yield the names of the jobs in queue/, run/ or done/, in the order of the file system."""
        for entry in os.scandir(place):
            if place != self.queue:
                yield entry.name
            elif entry.name.endswith(".json"):
                yield entry.name.removesuffix(".json")

    def read_queued(self, name: str) -> Descriptor:
        """Return the descriptor of an owed job; raise FileNotFoundError or InvalidDescriptor."""
        return read_descriptor(f"{self._queue}/{name}.json")

    def read_claimed(self, name: str) -> Descriptor:
        """Return the descriptor of a claimed job; raise FileNotFoundError or InvalidDescriptor."""
        return read_descriptor(f"{self._run}/{name}/{JOB}")

    def read_live(self, name: str) -> LiveAttempt:
        """Return attempt.json of a claimed job; raise FileNotFoundError or InvalidDescriptor."""
        return reading.decode(reading.content(f"{self._run}/{name}/{ATTEMPT}"), LiveAttempt)

    # ------------------------------------------------------------------ what only the engine does

    def claim(self, name: str, live: LiveAttempt | None) -> Path | None:
        """Make run/<name> for the job's attempt and return it, or None when the job is not there to claim.

        Without an attempt the job is claimed only to be ended: it will never be started.

        Nothing leaves queue/ and nothing is brought to the disk: after a power cut no attempt is
        alive, and the job is still owed.
        """
        if os.path.exists(f"{self._done}/{name}"):
            self.settle(name)
            return None
        folder = f"{self._run}/{name}"
        try:
            os.mkdir(folder, mode=0o750)
        except FileExistsError:
            return None
        try:
            os.link(f"{self._queue}/{name}.json", f"{folder}/{JOB}")
            if live is not None:
                write_quickly(folder, ATTEMPT, live.to_json())
        except OSError as error:
            leave(folder)
            if isinstance(error, FileNotFoundError):
                return None
            raise
        return Path(folder)

    def next_attempt(self, name: str, ended: LiveAttempt) -> LiveAttempt:
        """Put the attempt that was lost away into attempts/<n>/ and return the next one, not yet started.

        May be repeated after a crash. The new attempt.json is durable, so that attempts are counted
        across power cuts.
        """
        folder = self.run / name
        away = folder / "attempts" / str(ended.attempt.number)
        away.mkdir(parents=True, exist_ok=True)
        for entry in list(os.scandir(folder)):
            if entry.name not in {JOB, ATTEMPT, "attempts"}:
                Path(entry).rename(away / entry.name)
        live = LiveAttempt(
            attempt=AttemptRecord(
                number=ended.attempt.number + 1,
                runtime=ended.attempt.runtime,
                started=now(),
                limits=ended.attempt.limits,
            ),
            earlier=(*ended.earlier, ended.attempt),
        )
        return self.record_attempt(name, live)

    def record_attempt(self, name: str, live: LiveAttempt) -> LiveAttempt:
        """Write attempt.json of a claimed job anew, durably, and return it."""
        folder = self.run / name
        os.rename(self.stage(live.to_json()), folder / ATTEMPT)
        durable.sync_folder(folder)
        return live

    def undo_claim(self, name: str) -> None:
        """Take back a claim whose attempt has never been started: the job is in the queue alone again."""
        shutil.rmtree(self.run / name, ignore_errors=True)

    def finish(self, status: Status, result: bytes | Path | None) -> None:
        """Publish how a claimed job ended; the rename to done/ is the commit, and the first one wins.

        result is the content of result.json, or a file in the job's folder that has it, or None
        where there is none. When this returns, the outcome survives a power cut. When it raises
        OSError, it is to be called again.
        """
        (error,) = self.finish_all([(status, result)])
        if error is not None:
            raise error

    def finish_all(self, ends: Iterable[tuple[Status, bytes | Path | None]]) -> list[OSError | None]:
        """Publish how jobs ended as `finish` does each, but with one fsync of done/ for all.

        Returns for each the error that `finish` would raise.
        """
        ends = list(ends)
        errors = [self._publish(status, result) for status, result in ends]
        try:
            self._sync_done()
        except OSError as failed:
            return [failed for _ in ends]
        for (status, _), error in zip(ends, errors, strict=True):
            if error is None:
                self.settle(status.id)
        return errors

    def _publish(self, status: Status, result: bytes | Path | None) -> OSError | None:
        """Rename the job's folder to done/, whole; that may have been done already, and not be durable."""
        folder, done = f"{self._run}/{status.id}", f"{self._done}/{status.id}"
        try:
            outcome = {} if result is None else {RESULT: result}
            put_down(folder, {**outcome, STATUS: status.to_json()})
            durable.sync_folder(folder)
            os.rename(folder, done)
        except OSError as error:
            moved = isinstance(error, FileNotFoundError) and not os.path.exists(folder)
            return None if moved and os.path.exists(done) else error
        return None

    def settle(self, name: str) -> None:
        """Remove what an ended job still has in queue/ and cancel/."""
        for path in (f"{self._queue}/{name}.json", f"{self._cancel}/{name}"):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def refuse_queued(self, name: str, error: SpoolError) -> None:
        """Keep a damaged descriptor aside, in bad/, with the reason: a job that can't be read is not owed."""
        self.quarantine.take(self.queued(name), error)

    def sweep(self) -> None:
        """Clear up after writers that are not alive any more: empty tmp/, and make durable what is owed.

        A job that was linked by a process that was killed before its fsync is seen, and so it is kept.
        """
        durable.sync_folder(self.queue)
        self.clear_tmp()

    def clear_tmp(self, older: float = 0.0) -> None:
        """Remove from tmp/ what belongs to no process here, and was not changed for some seconds."""
        latest = time.time() - older
        for entry in list(os.scandir(self.tmp)):
            writer = entry.name.partition("-")[0]
            if writer.isdigit() and Path("/proc", writer).exists():
                continue
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime > latest:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry, ignore_errors=True)
                else:
                    Path(entry).unlink()

    def stage(self, content: bytes) -> str:
        """Write a durable file in tmp/ and return its path."""
        path = self._draft_path()
        durable.write(path, content)
        return path

    def new_in_tmp(self) -> Path:
        """Return a path in tmp/ that nobody has used, and that tells `sweep` who it belongs to."""
        return Path(self._draft_path())

    def _draft_path(self) -> str:
        return f"{self._tmp}/{os.getpid()}-{next(self._stage_numbers)}-{os.urandom(4).hex()}"

    # ------------------------------------------------------------------ the places of a job

    def _ended(self, name: str) -> Status:
        """Return an outcome, which is never told before a power cut can't take it back."""
        status = reading.decode(reading.content(f"{self._done}/{name}/{STATUS}"), Status)
        if os.path.lexists(f"{self._queue}/{name}.json"):
            durable.sync_folder(self.done)
        return status

    def _running(self, name: str) -> Status:
        status = pending(name, read_descriptor(f"{self._run}/{name}/{JOB}"))
        try:
            live = self.read_live(name)
        except InvalidDescriptor:  # a power cut took its content, and no engine has been here since
            return msgspec.structs.replace(status, status=State.RUNNING)
        return msgspec.structs.replace(
            status,
            status=State.RUNNING,
            started=live.attempt.started,
            attempts=(*live.earlier, live.attempt),
        )

    def _waiting(self, name: str) -> Status:
        return pending(name, self.read_queued(name))
