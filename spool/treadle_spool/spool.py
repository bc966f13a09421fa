"""The spool: accept, claim, finish, cancel, look up. A job's state is the place where its files are.

The functions here block on the disk; each leaves the spool in a state that FORMAT.md names, whichever
system call it is killed at.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec
import orjson

from treadle_spool import durable, reading
from treadle_spool.descriptor import Descriptor
from treadle_spool.errors import InvalidDescriptor, NameTaken, NotASpool, SpoolError, UnknownJob
from treadle_spool.lock import EngineLock
from treadle_spool.names import check_name, new_id
from treadle_spool.quarantine import Quarantine
from treadle_spool.status import FORMAT, AttemptRecord, LiveAttempt, State, Status, now

JOB = "job.json"
ATTEMPT = "attempt.json"
STATUS = "status.json"
RESULT = "result.json"
INTERIM = "interim.jsonl"
STDOUT = "stdout.log"
STDERR = "stderr.log"

_FOLDERS = ("drop", "tmp", "queue", "cancel", "run", "done", "bad")


class Spool:
    """A spool folder. Any number of processes may accept, cancel and look up; one engine claims and ends."""

    def __init__(self, root: Path, spool_id: str) -> None:
        self.root = root
        self.id = spool_id
        self.drop, self.tmp, self.queue, self.cancel, self.run, self.done, self.bad = (
            root / name for name in _FOLDERS
        )
        self.quarantine = Quarantine(self.bad, self.new_in_tmp)
        self._stage_numbers = itertools.count()
        self._sync_queue = durable.SharedSync(self.queue)
        self._sync_done = durable.SharedSync(self.done)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the spool at root, making it where there is none; raise NotASpool for anything else."""
        root = root.absolute()
        identity = root / "spool.json"
        if not identity.exists():
            _create(root)
        try:
            fields = msgspec.json.decode(identity.read_bytes(), type=_Identity)
        except (OSError, msgspec.DecodeError) as error:
            raise NotASpool(f"{identity} can't be read: {error}") from error
        if fields.format != FORMAT:
            raise NotASpool(
                f"{root} is a spool of format {fields.format}; this version reads format {FORMAT}"
            )
        return cls(root, fields.id)

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
        new = name is None
        name = new_id() if name is None else check_name(name)
        descriptor = msgspec.structs.replace(descriptor, created=descriptor.created or now())
        staged = self.stage(descriptor.to_json())
        try:
            os.link(staged, self.queued(name))
        except FileExistsError:
            raise NameTaken(f"a job named {name!r} exists already") from None
        finally:
            with suppress(OSError):  # the next sweep removes it; it is no reason to refuse the job
                staged.unlink()
        if not new and (self.done / name).exists():  # it may have ended at this very moment
            self.queued(name).unlink(missing_ok=True)
            raise NameTaken(f"a job named {name!r} exists already")
        try:
            self._sync_queue()
        except OSError:
            self.queued(name).unlink(missing_ok=True)
            raise
        return pending(name, descriptor)

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
        return _read_descriptor(self.queued(name))

    def read_claimed(self, name: str) -> Descriptor:
        """Return the descriptor of a claimed job; raise FileNotFoundError or InvalidDescriptor."""
        return _read_descriptor(self.run / name / JOB)

    def read_live(self, name: str) -> LiveAttempt:
        """Return attempt.json of a claimed job; raise FileNotFoundError or InvalidDescriptor."""
        return reading.decode(reading.content(self.run / name / ATTEMPT), LiveAttempt)

    # ------------------------------------------------------------------ what only the engine does

    def claim(self, name: str, live: LiveAttempt | None) -> Path | None:
        """Make run/<name> for the job's attempt and return it, or None when the job is not there to claim.

        Without an attempt the job is claimed only to be ended: it will never be started.

        Nothing leaves queue/ and nothing is brought to the disk: after a power cut no attempt is
        alive, and the job is still owed.
        """
        if (self.done / name).exists():
            self.settle(name)
            return None
        folder = self.run / name
        try:
            folder.mkdir(mode=0o750)
        except FileExistsError:
            return None
        try:
            os.link(self.queued(name), folder / JOB)
            if live is not None:
                _write_quickly(folder / ATTEMPT, live.to_json())
        except OSError as error:
            self._leave(folder)
            if isinstance(error, FileNotFoundError):
                return None
            raise
        return folder

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
        self.stage(live.to_json()).rename(folder / ATTEMPT)
        durable.sync_folder(folder)
        return live

    def _leave(self, folder: Path) -> None:
        """Take away what a claim has made so far, with calls that a full disk or table of files allows."""
        with suppress(OSError):
            for path in (_draft(folder / ATTEMPT), folder / ATTEMPT, folder / JOB):
                path.unlink(missing_ok=True)
            folder.rmdir()

    def undo_claim(self, name: str) -> None:
        """Take back a claim whose attempt has never been started: the job is in the queue alone again."""
        shutil.rmtree(self.run / name, ignore_errors=True)

    def finish(self, status: Status, result: bytes | Path | None) -> None:
        """Publish how a claimed job ended; the rename to done/ is the commit, and the first one wins.

        result is the content of result.json, or a file in the job's folder that has it, or None
        where there is none. When this returns, the outcome survives a power cut. When it raises
        OSError, it is to be called again.
        """
        folder = self.run / status.id
        if folder.exists() or not (self.done / status.id).exists():
            self._publish(folder, status, result)
        self._sync_done()
        self.settle(status.id)

    def _publish(self, folder: Path, status: Status, result: bytes | Path | None) -> None:
        """Rename the job's folder to done/, whole."""
        for stale in (RESULT, STATUS):
            (folder / stale).unlink(missing_ok=True)
        if isinstance(result, Path):
            os.link(result, folder / RESULT, follow_symlinks=False)
            durable.sync_file(folder / RESULT)
        elif result is not None:
            durable.write(folder / RESULT, result)
        durable.write(folder / STATUS, status.to_json())
        durable.sync_folder(folder)
        folder.rename(self.done / status.id)

    def settle(self, name: str) -> None:
        """Remove what an ended job still has in queue/ and cancel/."""
        self.queued(name).unlink(missing_ok=True)
        (self.cancel / name).unlink(missing_ok=True)

    def refuse_queued(self, name: str, error: SpoolError) -> None:
        """Keep a damaged descriptor aside, in bad/, with the reason: a job that can't be read is not owed."""
        self.quarantine.take(self.queued(name), error)

    def sweep(self) -> None:
        """Clear up after writers that are not alive any more: empty tmp/, and make durable what is owed.

        A job that was linked by a process that was killed before its fsync is seen, and so it is kept.
        """
        durable.sync_folder(self.queue)
        for entry in list(os.scandir(self.tmp)):
            writer = entry.name.partition("-")[0]
            if writer.isdigit() and Path("/proc", writer).exists():
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry, ignore_errors=True)
            else:
                Path(entry).unlink(missing_ok=True)

    def stage(self, content: bytes) -> Path:
        """Write a durable file in tmp/ and return its path."""
        path = self.new_in_tmp()
        durable.write(path, content)
        return path

    def new_in_tmp(self) -> Path:
        """Return a path in tmp/ that nobody has used, and that tells `sweep` who it belongs to."""
        return self.tmp / f"{os.getpid()}-{next(self._stage_numbers)}-{os.urandom(4).hex()}"

    # ------------------------------------------------------------------ the places of a job

    def _ended(self, name: str) -> Status:
        """Return an outcome, which is never told before a power cut can't take it back."""
        status = reading.decode(reading.content(self.done / name / STATUS), Status)
        if os.path.lexists(self.queued(name)):
            durable.sync_folder(self.done)
        return status

    def _running(self, name: str) -> Status:
        status = pending(name, _read_descriptor(self.run / name / JOB))
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


class _Identity(msgspec.Struct, frozen=True):
    format: int
    id: str


def pending(name: str, descriptor: Descriptor) -> Status:
    """Return the status of a job that nobody has started."""
    return Status(
        id=name,
        service=descriptor.service,
        status=State.PENDING,
        created=descriptor.created or now(),
        labels=descriptor.labels,
    )


def _create(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    ours = {*_FOLDERS, "spool.json", "engine.lock"}  # somebody else may just be making it
    if any(entry.name not in ours for entry in root.iterdir() if not entry.name.startswith(".")):
        raise NotASpool(f"{root} is not empty and not a spool: choose an empty or new folder")
    for name in _FOLDERS:
        (root / name).mkdir(exist_ok=True, mode=0o750)
    staged = root / "tmp" / f"{os.getpid()}-spool"
    durable.write(staged, orjson.dumps({"format": FORMAT, "id": str(uuid4())}), mode=0o644)
    with suppress(FileExistsError):
        os.link(staged, root / "spool.json")
    staged.unlink()
    durable.sync_folder(root)


def _read_descriptor(path: Path) -> Descriptor:
    """Read an accepted descriptor; the file's own time stands in where it has no `created`."""
    descriptor = Descriptor.from_json(reading.content(path))
    if descriptor.created is None:
        created = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        descriptor = msgspec.structs.replace(descriptor, created=created)
    return descriptor


def _write_quickly(path: Path, content: bytes) -> None:
    """Write a file that a power cut may take: it appears under its name only when it is whole."""
    draft = _draft(path)
    draft.write_bytes(content)
    draft.rename(path)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}")
