"""Accepting jobs: descriptors become files in queue/, durable before the caller gets an answer.

The steps for a batch of jobs:

1. Write each descriptor to a draft in tmp/, or link the file there that a large job has already (draft.py).
   An unsafe name or a write error concerns only that job.
2. fsync all drafts. If that fails, no job of the batch is accepted.
3. Link each draft to queue/<name>.json. `link` never overwrites: of several processes only one gets a name.
4. Look for done/<name> after the link, and remove the link if that exists. An ended job has no file in queue/
   any more, so the link succeeds although the name is used.
5. Remove the drafts.
6. fsync queue/ once for all jobs; other threads share this fsync. If it fails, remove all links of the batch.

Invariant: the bytes are durable before the name exists in queue/, and the name is durable before the answer.
So a crash leaves a draft, which a sweep removes, or a complete job file in queue/. A job file that was linked
before a crash is owed, although its caller got no answer: `Owner.sweep` makes it durable at the next start.

To write, sync and link one job after the other was tried before. To do each step for all jobs costs less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import msgspec

from treadle_spool import durable
from treadle_spool.clock import now
from treadle_spool.descriptor import Accepted, Descriptor
from treadle_spool.draft import Draft
from treadle_spool.errors import NameTaken, SpoolError
from treadle_spool.names import check_name, new_id
from treadle_spool.status import State, Status


class _NewFile(msgspec.Struct, frozen=True):
    """The file of a job in tmp/, not yet durable."""

    name: str
    descriptor: Accepted
    path: str


class Acceptor:
    """The writer of queue/, for as long as its Spool lives. Any number of processes may have one."""

    def __init__(self, queue: str, done: str, new_draft: Callable[[], str]) -> None:
        """Take the folders, and new_draft, which returns an unused path in tmp/ for a draft."""
        self._queue = queue
        self._done = done
        self._new_draft = new_draft
        self._sync = durable.SharedSync(queue)

    def accept_all(
        self, jobs: Iterable[tuple[Descriptor | Draft, str | None]]
    ) -> list[Status | SpoolError | OSError]:
        """Accept a batch of jobs; return for each job what `Spool.accept` would return or raise."""
        with durable.NewFiles() as files:
            drafts = [self._make_file(files, job, name) for job, name in jobs]
            try:
                files.sync()
                outcomes = [self._link(draft) if isinstance(draft, _NewFile) else draft for draft in drafts]
            except OSError as error:
                outcomes = [error if isinstance(draft, _NewFile) else draft for draft in drafts]
        for draft in drafts:
            if isinstance(draft, _NewFile):
                _remove(draft.path)
        return self._make_durable(outcomes)

    def _make_file(
        self, files: durable.NewFiles, job: Descriptor | Draft, name: str | None
    ) -> _NewFile | SpoolError | OSError:
        """Write the file of a job in tmp/."""
        path = self._new_draft()
        try:
            name = new_id() if name is None else check_name(name)
            if isinstance(job, Draft):
                accepted = job.job
                files.make(path, Path(job.path))
            else:
                accepted = job.accepted(now())
                files.make(path, accepted.to_json())
        except (SpoolError, OSError) as error:
            _remove(path)
            return error
        return _NewFile(name, accepted, path)

    def _link(self, draft: _NewFile) -> Status | SpoolError | OSError:
        """Link the file of a job into queue/; its name is not durable yet."""
        queued = f"{self._queue}/{draft.name}.json"
        try:
            os.link(draft.path, queued)
            if os.path.exists(f"{self._done}/{draft.name}"):  # a job of this name may have just ended
                os.unlink(queued)
                raise FileExistsError
        except FileExistsError:
            return NameTaken(f"a job named {draft.name!r} exists already")
        except OSError as error:
            return error
        return pending(draft.name, draft.descriptor)

    def _make_durable(
        self, outcomes: list[Status | SpoolError | OSError]
    ) -> list[Status | SpoolError | OSError]:
        """Make the new links in queue/ durable; remove all of them if that fails."""
        linked = [outcome for outcome in outcomes if isinstance(outcome, Status)]
        try:
            if linked:
                self._sync()
        except OSError as error:
            for status in linked:
                with suppress(FileNotFoundError):
                    os.unlink(f"{self._queue}/{status.id}.json")
            return [error if isinstance(outcome, Status) else outcome for outcome in outcomes]
        return outcomes


def _remove(draft: str) -> None:
    """Remove a draft. An error is no reason to refuse the job: the next sweep removes the draft."""
    with suppress(OSError):
        os.unlink(draft)


def pending(name: str, descriptor: Accepted) -> Status:
    """Return the status of a job that has not been started."""
    return Status(
        id=name,
        service=descriptor.service,
        status=State.PENDING,
        created=descriptor.created,
        labels=descriptor.labels,
    )
