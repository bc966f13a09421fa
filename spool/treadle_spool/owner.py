"""The owner of a spool: claim, finish, retry, sweep, which only the engine with the spool's lock may do.

Claim: `mkdir run/<id>`, which succeeds only once. Link queue/<id>.json to run/<id>/job.json, then write
attempt.json. Nothing leaves queue/, so no fsync is needed: after a power cut no attempt is alive, and the job
is still owed. To claim by a rename out of queue/ was tried before: it delays the watcher of queue/ by 0.5 s.

Finish:
1. Write and fsync result.json and status.json in run/<id>, then fsync that folder (publication.py).
2. Rename run/<id> to done/<id>. This is the commit: a reader sees the complete outcome or nothing. The first
   outcome wins, since a folder can't be renamed onto another one that is not empty.
3. fsync done/, once for all jobs that end together.
4. Remove queue/<id>.json and cancel/<id>.
After a crash before step 2, finish replaces the files and goes on. After a later crash or error, only steps 3
and 4 remain.

Every function here blocks on the disk. A process that is killed, at any system call, leaves the spool in a
state that FORMAT.md describes.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from treadle_spool import durable
from treadle_spool.attempts import make_durable, put_in_place
from treadle_spool.clock import now
from treadle_spool.errors import NotOwner, SpoolError
from treadle_spool.folder import (
    ATTEMPT,
    ATTEMPTS,
    JOB,
    archive,
    remove_partial_claim,
    write_unsynced,
)
from treadle_spool.identity import raise_format
from treadle_spool.mending import mend
from treadle_spool.publication import Publisher
from treadle_spool.staging import Abandoned
from treadle_spool.status import AttemptRecord, LiveAttempt, Status
from treadle_spool.untrusted import UntrustedFile, read_untrusted

if TYPE_CHECKING:
    from treadle_spool.spool import Spool


class Owner:
    """The right to claim and end the jobs of a spool: made by its lock, and valid until the lock is left.

    Several threads may use it at the same time, each for other jobs. It caches no job: all state is in the
    folder, and survives a crash.
    """

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        # As strings: joining Path objects costs more than most operations on them.
        self._queue, self._cancel, self._run, self._done = map(
            str, (spool.queue, spool.cancel, spool.run, spool.done)
        )
        self._sync_run = durable.SharedSync(spool.run)
        self._sync_done = durable.SharedSync(spool.done)
        self._publisher = Publisher(spool)
        self._abandoned = Abandoned(spool.tmp)
        self._ended = False

    def end(self) -> None:
        """Claim and end no more jobs: the lock is about to be left. Called by the lock."""
        self._ended = True

    def claim(self, name: str, live: LiveAttempt | None) -> Path | None:
        """Create run/<name> for an attempt and return the folder, or None if the job can't be claimed.

        Without an attempt (live is None) the job is claimed only to be ended, and is never started.

        Nothing leaves queue/ and nothing is synced: after a power cut no attempt is alive, and the job is
        still owed.
        """
        self._check()
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
        folder = self.spool.run / name
        archived = archive(folder, ended.attempt.number)
        archived.mkdir(parents=True, exist_ok=True)
        for entry in list(os.scandir(folder)):
            if entry.name not in {JOB, ATTEMPT, ATTEMPTS}:
                Path(entry).rename(archived / entry.name)
        record = AttemptRecord(
            number=ended.attempt.number + 1,
            runtime=ended.attempt.runtime,
            started=now(),
            limits=ended.attempt.limits,
        )
        earlier = (*ended.earlier, ended.attempt)
        return self.record_attempt(name, LiveAttempt.beginning(record, ended.service, earlier))

    def record_attempt(self, name: str, live: LiveAttempt) -> LiveAttempt:
        """Replace attempt.json of a claimed job, durably, and return the attempt.

        Fields that a newer version has written into it stay.
        """
        self._check()
        path = f"{self._run}/{name}/{ATTEMPT}"
        try:
            present = read_untrusted(path)
        except (FileNotFoundError, UntrustedFile):
            present = b""
        self._put(Path(self.spool.stage(live.replacing(present))), name, ATTEMPT)
        return live

    def has_descriptor(self, name: str) -> bool:
        """Return whether job.json of a claimed job is the file in queue/, as a claim makes it."""
        with suppress(FileNotFoundError):
            return os.path.samestat(
                os.lstat(f"{self._run}/{name}/{JOB}"), os.lstat(f"{self._queue}/{name}.json")
            )
        return False

    def restore_descriptor(self, name: str) -> None:
        """Replace a damaged or missing job.json of a claimed job by the descriptor in queue/, durably.

        Raises FileNotFoundError if the job has no descriptor in queue/.
        """
        self._check()
        draft = self.spool.new_in_tmp()
        draft.hardlink_to(self.spool.queued(name))
        self._put(draft, name, JOB)

    def sync_attempt(self, name: str) -> None:
        """Make the live attempt of a claimed job durable, so that it counts after a power cut.

        Called, off the hot path, for an attempt that lasts, once its runtime has started it: a durable record
        without what identifies the attempt would be started again under the same number. Idempotent. Raises
        OSError; FileNotFoundError if the job has ended meanwhile, and NotOwner.
        """
        self._check()
        make_durable(f"{self._run}/{name}")
        self._sync_run()

    def _put(self, draft: Path, name: str, file: str) -> None:
        """Have a file of a claimed job replaced by a draft, and make its name durable."""
        put_in_place(draft, f"{self._run}/{name}/{file}", self.spool.new_in_tmp())
        durable.sync_folder(f"{self._run}/{name}")
        self._sync_run()

    def undo_claim(self, name: str) -> None:
        """Remove the claim of a job whose attempt was never started; the job is in queue/ only, as before."""
        folder = f"{self._run}/{name}"
        remove_partial_claim(folder)
        if os.path.lexists(folder):
            self._publisher.discard(folder)

    def mend(self, name: str) -> bool:
        """Give a claimed job a folder that can be gone on with, where its program has damaged it.

        Called at the start of an engine. Returns False if run/<name> is none of a job that is owed: then
        nothing of it is left. Raises OSError.
        """
        self._check()
        return mend(self._publisher, self.spool, name)

    def finish(self, status: Status, result: bytes | Path | None) -> None:
        """Publish the outcome of a claimed job. The rename to done/ is the commit; the first outcome wins.

        result is the content of result.json, or a file in the job's folder that has this content, or None
        for no result.json. When this returns, the outcome survives a power cut. After an OSError the caller
        must call it again; after UntrustedFile with another outcome, since the file is no result.
        """
        (error,) = self.finish_all([(status, result)])
        if error is not None:
            raise error

    def finish_all(self, ends: Iterable[tuple[Status, bytes | Path | None]]) -> list[OSError | None]:
        """Publish the outcomes of several jobs as `finish` does, with one fsync of done/ for all.

        Returns for each job the error that `finish` would raise, or None.
        """
        self._check()
        ends = list(ends)
        errors = [self._publisher.publish(status, result) for status, result in ends]
        try:
            self._sync_done()
        except OSError as sync_error:
            return [sync_error for _ in ends]
        for (status, _), error in zip(ends, errors, strict=True):
            if error is None:
                self.settle(status.id)
        return errors

    def _check(self) -> None:
        if self._ended:
            raise NotOwner

    def settle(self, name: str) -> None:
        """Remove the files of an ended job from queue/ and cancel/."""
        for path in (f"{self._queue}/{name}.json", f"{self._cancel}/{name}"):
            with suppress(FileNotFoundError):
                os.unlink(path)

    def refuse_queued(self, name: str, error: SpoolError) -> None:
        """Move a damaged descriptor to bad/, with the reason: a job that can't be read is not owed."""
        self.spool.quarantine.take(self.spool.queued(name), error)

    def sweep(self) -> None:
        """Make queue/ durable, raise an older format to today's, remove from tmp/ what no live process has.

        Called by an engine at its start, before anything else. A writer may have been killed between link and
        fsync: its job is visible, and is owed from now on. Raises NotASpool if spool.json was damaged, and
        OSError.
        """
        durable.sync_folder(self.spool.queue)
        raise_format(self.spool.root, self.spool.new_in_tmp())
        self.clear_tmp()

    def clear_tmp(self, older: float = 0.0) -> None:
        """Remove from tmp/ what belongs to no live process and has not changed for `older` seconds."""
        self._abandoned.remove(older)
