"""Accepting: a file is written in tmp/, brought to the disk, linked into queue/, and made durable there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

import msgspec

from treadle_spool import durable
from treadle_spool.descriptor import Descriptor
from treadle_spool.errors import NameTaken, SpoolError
from treadle_spool.names import check_name, new_id
from treadle_spool.status import State, Status, now


class _Draft(msgspec.Struct, frozen=True):
    """A job's file in tmp/, not yet on the disk."""

    name: str
    descriptor: Descriptor
    path: str


class Acceptor:
    """Puts jobs into queue/; any number of processes may do that."""

    def __init__(self, queue: str, done: str, new_draft: Callable[[], str]) -> None:
        """Use new_draft for the path of a file that is not yet a job."""
        self._queue = queue
        self._done = done
        self._new_draft = new_draft
        self._sync = durable.SharedSync(queue)

    def accept_all(
        self, jobs: Iterable[tuple[Descriptor, str | None]]
    ) -> list[Status | SpoolError | OSError]:
        """Accept jobs together, and return for each what `Spool.accept` would return or raise."""
        with durable.NewFiles() as files:
            drafts = [self._make_draft(files, descriptor, name) for descriptor, name in jobs]
            try:
                files.sync()
                outcomes = [self._link(draft) if isinstance(draft, _Draft) else draft for draft in drafts]
            except OSError as error:
                outcomes = [error if isinstance(draft, _Draft) else draft for draft in drafts]
        for draft in drafts:
            if isinstance(draft, _Draft):
                _remove(draft.path)
        return self._make_durable(outcomes)

    def _make_draft(
        self, files: durable.NewFiles, descriptor: Descriptor, name: str | None
    ) -> _Draft | SpoolError | OSError:
        """Write a job's file in tmp/."""
        path = self._new_draft()
        try:
            name = new_id() if name is None else check_name(name)
            descriptor = msgspec.structs.replace(descriptor, created=descriptor.created or now())
            files.make(path, descriptor.to_json())
        except (SpoolError, OSError) as error:
            _remove(path)
            return error
        return _Draft(name, descriptor, path)

    def _link(self, draft: _Draft) -> Status | SpoolError | OSError:
        """Link a job's file into queue/; its name is not durable yet."""
        queued = f"{self._queue}/{draft.name}.json"
        try:
            os.link(draft.path, queued)
            if os.path.exists(f"{self._done}/{draft.name}"):  # it may have ended at this very moment
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
        """Bring what was linked into queue/ to the disk; take it all back if that fails."""
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
    """Remove a file of tmp/; if that can't be done, the next sweep does it, and no job is refused for it."""
    with suppress(OSError):
        os.unlink(draft)


def pending(name: str, descriptor: Descriptor) -> Status:
    """Return the status of a job that nobody has started."""
    return Status(
        id=name,
        service=descriptor.service,
        status=State.PENDING,
        created=descriptor.created or now(),
        labels=descriptor.labels,
    )
