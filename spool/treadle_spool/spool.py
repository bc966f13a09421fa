"""The spool: accept, cancel, look up. The state of a job is the folder where its files are.

Accept: accept.py puts queue/<id>.json in place. The job is owed for as long as this file exists. The engine
moves it on from there: owner.py says how a job is claimed and finished.

Look up: a job that moves from one folder to the next may be missed in both, so done/ is read again after each
folder that the job may have left. While queue/<id>.json exists, the rename to done/ may not be durable: a
reader that finds an outcome then syncs done/ before it returns the outcome.

Every function here blocks on the disk. A process that is killed, at any system call, leaves the spool in a
state that FORMAT.md describes.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import msgspec

from treadle_spool import durable, reading
from treadle_spool.accept import Acceptor, pending
from treadle_spool.descriptor import Accepted, Descriptor, Origin
from treadle_spool.draft import Draft
from treadle_spool.errors import InvalidDescriptor, SpoolError, UnknownJob
from treadle_spool.folder import ATTEMPT, JOB, STATUS, parse_descriptor, read_descriptor
from treadle_spool.head import Heads
from treadle_spool.identity import FOLDERS, identify
from treadle_spool.lock import EngineLock
from treadle_spool.names import check_name
from treadle_spool.quarantine import Quarantine
from treadle_spool.status import LiveAttempt, State, Status
from treadle_spool.untrusted import (
    LARGEST_DESCRIPTOR,
    UntrustedFile,
    is_folder,
    read_regular,
    read_untrusted,
)


class Spool:
    """A handle of one spool folder. It holds no state of a job: all is in the folder, and survives a crash.

    Any number of processes may have one, and do all that it offers. What only the engine may do is a method
    of the Owner, which the engine gets by the lock: `with spool.lock() as owner`.
    """

    def __init__(self, root: Path, spool_id: str) -> None:
        self.root = root
        self.id = spool_id
        self.drop, self.tmp, self.queue, self.cancel, self.run, self.done, self.bad = (
            root / name for name in FOLDERS
        )
        # As strings: joining Path objects costs more than most operations on them.
        self._tmp, self._queue, self._run, self._done = map(str, (self.tmp, self.queue, self.run, self.done))
        self.quarantine = Quarantine(self.bad, self.new_in_tmp)
        self._draft_numbers = itertools.count()
        self._heads = Heads()
        self._acceptor = Acceptor(self._queue, self._done, self._draft_path)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the spool at root, or create it in a new or empty folder; raise NotASpool otherwise."""
        root = root.absolute()
        return cls(root, identify(root))

    def lock(self) -> EngineLock:
        """Return the lock of the spool; entered with `with`, it gives the Owner, who claims and ends jobs."""
        return EngineLock(self)

    def queued(self, name: str) -> Path:
        """Return the path of a job's descriptor in queue/: the file exists for as long as the job is owed."""
        return self.queue / f"{name}.json"

    def accept(self, job: Descriptor | Draft, name: str | None = None) -> Status:
        """Put a job into the queue. When this returns, the job survives a power cut.

        Raises NameTaken, UnsafeName or OSError; then the job is not in the queue.
        """
        (outcome,) = self.accept_all([(job, name)])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def accept_all(
        self, jobs: Iterable[tuple[Descriptor | Draft, str | None]]
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
            if is_folder(folder := place / name):
                return folder
        raise FileNotFoundError(name)

    def names(self, place: Path) -> Iterator[str]:
        """Yield the names of the jobs in place (queue/, run/ or done/), in the order of the file system."""
        for entry in os.scandir(place):
            if place != self.queue:
                yield entry.name
            elif entry.name.endswith(".json"):
                yield entry.name.removesuffix(".json")

    def read_queued(self, name: str) -> Accepted:
        """Return the descriptor of an owed job.

        Raises FileNotFoundError, UntrustedFile or InvalidDescriptor.
        """
        return read_descriptor(f"{self._queue}/{name}.json")

    def read_claimed(self, name: str) -> Accepted:
        """Return the descriptor of a claimed job as `read_queued` does.

        Where its program has damaged job.json, the file in queue/ counts; where that is the same file, what
        attempt.json tells of the job.
        """
        path = f"{self._run}/{name}/{JOB}"
        try:
            return parse_descriptor(read_untrusted(path, LARGEST_DESCRIPTOR), path)
        except FileNotFoundError:
            if not os.path.lexists(f"{self._run}/{name}/{ATTEMPT}"):
                raise  # its claim is not complete
        except (UntrustedFile, InvalidDescriptor):
            pass
        try:
            return self.read_queued(name)
        except (UntrustedFile, InvalidDescriptor) as error:
            with suppress(FileNotFoundError, InvalidDescriptor):
                live = self.read_live(name)
                if live.service:
                    return Accepted(service=live.service, created=(*live.earlier, live.attempt)[0].started)
            raise InvalidDescriptor(f"the descriptor of job {name} was damaged: {error}") from error

    def was_made_of(self, name: str, origin: Origin) -> bool:
        """Return whether there is a job of that name that was made of this dropped file."""
        # As long as the job is owed its file is in queue/. What is in run/ may be incomplete, or a program's.
        for path in (f"{self._queue}/{name}.json", f"{self._done}/{name}/{JOB}"):
            with suppress(FileNotFoundError, UntrustedFile, InvalidDescriptor):
                if self._heads.read(path).origin == origin:
                    return True
        return False

    def read_live(self, name: str) -> LiveAttempt:
        """Return attempt.json of a claimed job; raise FileNotFoundError or InvalidDescriptor."""
        try:
            raw = read_untrusted(f"{self._run}/{name}/{ATTEMPT}")
        except UntrustedFile as error:
            raise InvalidDescriptor(str(error)) from error
        return reading.decode(raw, LiveAttempt)

    def stage(self, content: bytes) -> str:
        """Write a durable file in tmp/ and return its path."""
        path = self._draft_path()
        durable.write(path, content)
        return path

    def new_in_tmp(self) -> Path:
        """Return an unused path in tmp/. Its name begins with the pid of this process, for the sweep."""
        return Path(self._draft_path())

    def _draft_path(self) -> str:
        return f"{self._tmp}/{os.getpid()}-{next(self._draft_numbers)}-{os.urandom(4).hex()}"

    def _ended(self, name: str) -> Status:
        """Return the outcome of a job. It is made durable first, so a power cut can't take it back."""
        status = reading.decode(read_regular(f"{self._done}/{name}/{STATUS}"), Status)
        if os.path.lexists(f"{self._queue}/{name}.json"):
            durable.sync_folder(self.done)
        return status

    def _running(self, name: str) -> Status:
        try:
            status = self._claimed(name)
        except InvalidDescriptor:  # its program has overwritten all that tells of it
            return Status(id=name, service="", status=State.RUNNING, created=self._claimed_at(name))
        try:
            live = self.read_live(name)
        except InvalidDescriptor:  # likewise, or a power cut took its content and no engine has started since
            return msgspec.structs.replace(status, status=State.RUNNING)
        return msgspec.structs.replace(
            status,
            status=State.RUNNING,
            started=live.attempt.started,
            attempts=(*live.earlier, live.attempt),
        )

    def _claimed(self, name: str) -> Status:
        try:
            return pending(name, self._heads.read(f"{self._run}/{name}/{JOB}"))
        except (FileNotFoundError, UntrustedFile, InvalidDescriptor):
            return pending(name, self.read_claimed(name))

    def _claimed_at(self, name: str) -> datetime:
        return datetime.fromtimestamp(os.lstat(f"{self._run}/{name}").st_mtime, UTC)

    def _pending(self, name: str) -> Status:
        return pending(name, self._heads.read(f"{self._queue}/{name}.json"))
