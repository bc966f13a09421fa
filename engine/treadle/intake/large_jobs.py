"""Large jobs: a process decodes them, checks them and writes their files.

A payload may take eight times its size while it is validated. So of each service one job that has much is
validated at a time; the jobs of the others don't wait for it.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from treadle.intake.composing import FromQueue, Source
from treadle.intake.payload_checks import PayloadCheck
from treadle.intake.posted import LargeFile
from treadle.intake.validation_pool import HOW_TO_MEND, Process, TooSlow, ValidationPool
from treadle.intake.validation_process import LARGE_FILE, MEMORY, UNFINISHED
from treadle_spool import Accepted, Descriptor, InvalidDescriptor, Spool, SpoolError
from treadle_spool.draft import LARGE, Draft
from treadle_spool.dropped import Unfinished
from treadle_spool.errors import InvalidJson, NotAFile, TooLarge, Unreadable

_MUCH = 8 * 1024 * 1024
"""Bytes of a job that may take hundreds of MB to validate."""
_ERRORS: Mapping[str, Callable[[str], SpoolError]] = {
    each.code: each for each in (InvalidDescriptor, InvalidJson, TooLarge, NotAFile, Unreadable)
}
"""The errors that composing may have, by their codes."""


class LargeJobs:
    """The large jobs of one engine or API process; the methods block, and may be called in any thread."""

    def __init__(self, spool: Spool, pool: ValidationPool) -> None:
        self._spool = spool
        self._pool = pool
        self._turns: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        """By service: whose turn it is to be validated."""

    def compose(
        self, source: Source, size: int, checks_of: Callable[[Descriptor], Mapping[str, PayloadCheck]]
    ) -> Draft:
        """Have a process decode a job of so many bytes, check its payloads and write its file.

        checks_of is called with the job without its payload. It returns the checks of the payloads, or raises
        an error, which is raised here too. Raises SpoolError if the payloads do not fit, Unfinished if the
        source has changed meanwhile, LargeFile, and OSError. The caller removes the draft.
        """
        path = str(self._spool.new_in_tmp())
        try:
            with self._pool.process(size) as process:
                draft = Draft(_composed(process, source, path, size), path)
                checks = checks_of(draft.job)
                checked = self._check_at_once(process, draft.job.service, checks, size)
            if not checked:
                self._check_in_turn(path, draft.job.service, checks, size)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise
        return draft

    def read_owed(self, name: str) -> Accepted:
        """Return the descriptor of an owed job, a large one without its payload; all of its file is checked.

        Whoever writes into queue/ directly may have written anything, and behind the payload as well. A
        process reads a large file, if there is one to be had. Raises FileNotFoundError, UntrustedFile,
        InvalidDescriptor or OSError.
        """
        path = self._spool.queued(name)
        if (size := path.lstat().st_size) > LARGE:
            with suppress(OSError, SpoolError), self._pool.process(size) as process:
                return _composed(process, FromQueue(str(path)), None, size)
        return self._spool.read_queued(name)

    def _check_at_once(
        self, process: Process, service: str, checks: Mapping[str, PayloadCheck], size: int
    ) -> bool:
        """Have the payloads of the composed job checked; False if they have to wait for their turn."""
        if not checks or size <= _MUCH:
            _check(process, checks)
            return True
        turn = self._turns[service]
        if not turn.acquire(blocking=False):
            return False
        try:
            _check(process, checks)
        finally:
            turn.release()
        return True

    def _check_in_turn(self, path: str, service: str, checks: Mapping[str, PayloadCheck], size: int) -> None:
        """Wait for the turn without a process, since others need one; then have the job's file checked."""
        with self._turns[service], self._pool.process(size) as process:
            _composed(process, FromQueue(path), None, size)
            _check(process, checks)


def _check(process: Process, checks: Mapping[str, PayloadCheck]) -> None:
    for payload, check in checks.items():
        check.check_composed(process, payload)


def _composed(process: Process, source: Source, draft: str | None, size: int) -> Accepted:
    """Have a process write a job's file, if there is to be one, and return the job without its payload.

    Raises SpoolError if there is none, Unfinished if the source has changed meanwhile, LargeFile, OSError.
    """
    try:
        outcome = process.compose(source, draft, size)
    except TooSlow:
        raise InvalidDescriptor(f"decoding it takes too long: {HOW_TO_MEND}") from None
    if outcome.code is None:
        return Accepted.from_json(outcome.job.encode())
    if outcome.code == LARGE_FILE:
        raise LargeFile(outcome.number or 0)
    if outcome.number is not None:
        raise OSError(outcome.number, outcome.detail)
    if outcome.code == UNFINISHED:
        raise Unfinished
    if outcome.code == MEMORY:
        raise InvalidDescriptor("decoding it takes more memory than is allowed")
    error = _ERRORS[outcome.code](outcome.detail)
    if isinstance(error, InvalidDescriptor | TooLarge) and outcome.path is not None:
        error.path = outcome.path
    raise error
