"""The spool: accept, claim, finish, cancel, look up. The state of a job is the folder where its files are.

Accept: accept.py puts queue/<id>.json in place. The job is owed for as long as this file exists.

Claim: `mkdir run/<id>`, which succeeds only once. Link queue/<id>.json to run/<id>/job.json, then write
attempt.json. Nothing leaves queue/, so no fsync is needed: after a power cut no attempt is alive, and the job
is still owed. To claim by a rename out of queue/ was tried before: it delays the watcher of queue/ by 0.5 s.

Finish:
1. Write and fsync result.json and status.json in run/<id>, then fsync that folder.
2. Rename run/<id> to done/<id>. This is the commit: a reader sees the complete outcome or nothing. The first
   outcome wins, since a folder can't be renamed onto another one that is not empty.
3. fsync done/, once for all jobs that end together.
4. Remove queue/<id>.json and cancel/<id>.
After a crash before step 2, finish replaces the files and goes on. After a later crash or error, only steps 3
and 4 remain. While queue/<id>.json exists, the rename may not be durable: a reader that finds an outcome then
syncs done/ before it returns the outcome.

Every function here blocks on the disk. A process that is killed, at any system call, leaves the spool in a
state that FORMAT.md describes.
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
    read_descriptor,
    remove_partial_claim,
    write_synced,
    write_unsynced,
)
from treadle_spool.identity import FOLDERS, identify
from treadle_spool.lock import EngineLock
from treadle_spool.names import check_name
from treadle_spool.quarantine import Quarantine
from treadle_spool.status import AttemptRecord, LiveAttempt, State, Status, now


class Spool:
    """A handle of one spool folder. It caches no job: all state is in the folder, and survives a crash.

    Any number of processes may accept, cancel and look up. Only the engine that holds the lock may claim
    jobs, record their attempts, finish or refuse them, and sweep.
    """

    def __init__(self, root: Path, spool_id: str) -> None:
        self.root = root
        self.id = spool_id
        self.drop, self.tmp, self.queue, self.cancel, self.run, self.done, self.bad = (
            root / name for name in FOLDERS
        )
        # As strings: joining Path objects costs more than most operations on them.
        self._tmp, self._queue, self._cancel, self._run, self._done = map(
            str, (self.tmp, self.queue, self.cancel, self.run, self.done)
        )
        self.quarantine = Quarantine(self.bad, self.new_in_tmp)
        self._draft_numbers = itertools.count()
        self._acceptor = Acceptor(self._queue, self._done, self._draft_path)
        self._sync_done = durable.SharedSync(self.done)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the spool at root, or create it in a new or empty folder; raise NotASpool otherwise."""
        root = root.absolute()
        return cls(root, identify(root))

    def lock(self) -> EngineLock:
        """Return the lock that an engine must hold while it claims and ends jobs."""
        return EngineLock(self.root / "engine.lock")

    def queued(self, name: str) -> Path:
        """Return the path of a job's descriptor in queue/: the file exists for as long as the job is owed."""
        return self.queue / f"{name}.json"

    def accept(self, descriptor: Descriptor, name: str | None = None) -> Status:
        """Put a job into the queue. When this returns, the job survives a power cut.

        Raises NameTaken, UnsafeName or OSError; then the job is not in the queue.
        """
        (outcome,) = self.accept_all([(descriptor, name)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def accept_all(
        self, jobs: Iterable[tuple[Descriptor, str | None]]
    ) -> list[Status | SpoolError | OSError]:
        """Put several jobs into the queue as `accept` does, with one fsync of queue/ for all.

        Returns for each job what `accept` would return or raise.
        """
        return self._acceptor.accept_all(jobs)

    def ask_to_cancel(self, name: str) -> Status:
        """Request the cancel of a job, durably, and return its status; an ended job stays as it is."""
        status = self.look_up(name)
        if not status.status.ended:
            with suppress(FileExistsError):
                durable.write(self.cancel / name, b"")
            durable.sync_folder(self.cancel)
        return status

    def look_up(self, name: str) -> Status:
        """Return the current status of a job; raise UnknownJob, or UnsafeName.

        A job may move between two reads, so done/ is read again after each folder that the job may have left:
        no job is missed. An ended job may still have a file in queue/; as done/ is read before queue/, it is
        not reported as pending.
        """
        check_name(name)
        for find in (self._ended, self._running, self._ended, self._pending, self._ended):
            with suppress(FileNotFoundError, NotADirectoryError):
                return find(name)
        raise UnknownJob(f"no job named {name!r}")

    def folder(self, name: str) -> Path:
        """Return the folder of a claimed or ended job; raise FileNotFoundError if the job has none."""
        check_name(name)
        for place in (self.done, self.run, self.done):
            if (folder := place / name).is_dir():
                return folder
        raise FileNotFoundError(name)

    def names(self, place: Path) -> Iterator[str]:
        """Yield the names of the jobs in place (queue/, run/ or done/), in the order of the file system."""
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

    def claim(self, name: str, live: LiveAttempt | None) -> Path | None:
        """Create run/<name> for an attempt and return the folder, or None if the job can't be claimed.

        Without an attempt (live is None) the job is claimed only to be ended, and is never started.

        Nothing leaves queue/ and nothing is synced: after a power cut no attempt is alive, and the job is
        still owed.
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
                write_unsynced(folder, ATTEMPT, live.to_json())
        except OSError as error:
            remove_partial_claim(folder)
            if isinstance(error, FileNotFoundError):
                return None
            raise
        return Path(folder)

    def next_attempt(self, name: str, ended: LiveAttempt) -> LiveAttempt:
        """Move the files of a lost attempt to attempts/<n>/ and return the next attempt, not yet started.

        Idempotent: may be repeated after a crash. The new attempt.json is durable, so the count of attempts
        survives a power cut.
        """
        folder = self.run / name
        archive = folder / "attempts" / str(ended.attempt.number)
        archive.mkdir(parents=True, exist_ok=True)
        for entry in list(os.scandir(folder)):
            if entry.name not in {JOB, ATTEMPT, "attempts"}:
                Path(entry).rename(archive / entry.name)
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
        """Replace attempt.json of a claimed job, durably, and return the attempt."""
        folder = self.run / name
        os.rename(self.stage(live.to_json()), folder / ATTEMPT)
        durable.sync_folder(folder)
        return live

    def undo_claim(self, name: str) -> None:
        """Remove the claim of a job whose attempt was never started; the job is in queue/ only, as before."""
        shutil.rmtree(self.run / name, ignore_errors=True)

    def finish(self, status: Status, result: bytes | Path | None) -> None:
        """Publish the outcome of a claimed job. The rename to done/ is the commit; the first outcome wins.

        result is the content of result.json, or a file in the job's folder that has this content, or None
        for no result.json. When this returns, the outcome survives a power cut. After an OSError the caller
        must call it again.
        """
        (error,) = self.finish_all([(status, result)])
        if error is not None:
            raise error

    def finish_all(self, ends: Iterable[tuple[Status, bytes | Path | None]]) -> list[OSError | None]:
        """Publish the outcomes of several jobs as `finish` does, with one fsync of done/ for all.

        Returns for each job the error that `finish` would raise, or None.
        """
        ends = list(ends)
        errors = [self._publish(status, result) for status, result in ends]
        try:
            self._sync_done()
        except OSError as sync_error:
            return [sync_error for _ in ends]
        for (status, _), error in zip(ends, errors, strict=True):
            if error is None:
                self.settle(status.id)
        return errors

    def _publish(self, status: Status, result: bytes | Path | None) -> OSError | None:
        """Complete the job's folder and rename it to done/, unless an earlier call has; return the error."""
        folder, done = f"{self._run}/{status.id}", f"{self._done}/{status.id}"
        try:
            outcome = {} if result is None else {RESULT: result}
            write_synced(folder, {**outcome, STATUS: status.to_json()})
            durable.sync_folder(folder)
            os.rename(folder, done)
        except OSError as error:
            moved = isinstance(error, FileNotFoundError) and not os.path.exists(folder)
            return None if moved and os.path.exists(done) else error
        return None

    def settle(self, name: str) -> None:
        """Remove the files of an ended job from queue/ and cancel/."""
        for path in (f"{self._queue}/{name}.json", f"{self._cancel}/{name}"):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def refuse_queued(self, name: str, error: SpoolError) -> None:
        """Move a damaged descriptor to bad/, with the reason: a job that can't be read is not owed."""
        self.quarantine.take(self.queued(name), error)

    def sweep(self) -> None:
        """Make queue/ durable, and remove from tmp/ what belongs to no live process.

        A writer may have been killed between link and fsync: its job is visible, and is owed from now on.
        """
        durable.sync_folder(self.queue)
        self.clear_tmp()

    def clear_tmp(self, older: float = 0.0) -> None:
        """Remove from tmp/ what belongs to no live process and is unchanged for `older` seconds."""
        cutoff = time.time() - older
        for entry in list(os.scandir(self.tmp)):
            pid = entry.name.partition("-")[0]
            if pid.isdigit() and Path("/proc", pid).exists():
                continue
            with suppress(FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime > cutoff:
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
        """Return an unused path in tmp/. Its name begins with the pid of this process, for `sweep`."""
        return Path(self._draft_path())

    def _draft_path(self) -> str:
        return f"{self._tmp}/{os.getpid()}-{next(self._draft_numbers)}-{os.urandom(4).hex()}"

    def _ended(self, name: str) -> Status:
        """Return the outcome of a job. It is made durable first, so a power cut can't take it back."""
        status = reading.decode(reading.content(f"{self._done}/{name}/{STATUS}"), Status)
        if os.path.lexists(f"{self._queue}/{name}.json"):
            durable.sync_folder(self.done)
        return status

    def _running(self, name: str) -> Status:
        status = pending(name, read_descriptor(f"{self._run}/{name}/{JOB}"))
        try:
            live = self.read_live(name)
        except InvalidDescriptor:  # a power cut took its content, and no engine has started since
            return msgspec.structs.replace(status, status=State.RUNNING)
        return msgspec.structs.replace(
            status,
            status=State.RUNNING,
            started=live.attempt.started,
            attempts=(*live.earlier, live.attempt),
        )

    def _pending(self, name: str) -> Status:
        return pending(name, self.read_queued(name))
