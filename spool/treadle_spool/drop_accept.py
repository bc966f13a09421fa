"""Accepting what was dropped: the job first, durably, then the file is taken away."""

from __future__ import annotations

import os
from contextlib import suppress

from treadle_spool.descriptor import Descriptor, Origin
from treadle_spool.draft import Draft
from treadle_spool.drop_names import dropped_name, job_name
from treadle_spool.drop_outcomes import Faulty, Taken
from treadle_spool.errors import InvalidDescriptor, NameTaken, SpoolError
from treadle_spool.left import origin_of
from treadle_spool.spool import Spool
from treadle_spool.status import Status
from treadle_spool.taking import Replaced, Taking
from treadle_spool.untrusted import UntrustedFile


class Accepting:
    """The step of a DropFolder that makes files jobs, for as long as that lives; in any thread."""

    def __init__(self, spool: Spool, taking: Taking) -> None:
        self._spool = spool
        self._taking = taking

    def accept(
        self, entry: str, file: os.stat_result, job: Descriptor | Draft, digest: bytes
    ) -> Taken | Faulty:
        """Accept the job that this file asks for, with the file as its `origin`; see DropFolder.accept."""
        name, origin = job_name(dropped_name(entry)), origin_of(file)
        try:
            status = self._find_accepted(name, origin) or self._spool.accept(job, name)
        except NameTaken as error:
            error = NameTaken(f"{error}: choose another file name")
            return Faulty(entry, without_frames(error), file)
        try:
            hidden = self._taking.take_away(entry, file, digest)
            with self._taking.letting_go(hidden):
                hidden.unlink(missing_ok=True)
        except Replaced as other:
            return Taken(status, again=other.entry)
        except FileNotFoundError:
            return Taken(status)
        except OSError as error:
            return Taken(status, stays=self._taking.leave(entry, file, error))
        return Taken(status)

    def _find_accepted(self, job: str, origin: Origin) -> Status | None:
        """Return the job that was accepted from this same file before a crash, or None.

        Raises NameTaken if the name belongs to another job.
        """
        if self._spool.was_made_of(job, origin):
            with suppress(FileNotFoundError, UntrustedFile, InvalidDescriptor):
                return self._spool.look_up(job)
        if any(os.path.lexists(place / job) for place in (self._spool.done, self._spool.run)):
            raise NameTaken(f"a job named {job!r} exists already")
        return None


def without_frames(error: SpoolError) -> SpoolError:
    """Return the error without its traceback, whose frames hold the content of the file."""
    error.__context__ = None
    return error.with_traceback(None)
