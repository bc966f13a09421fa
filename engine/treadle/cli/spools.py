"""The spool of a client command: opened if it exists, never made, and its jobs found by their ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from treadle.interface.errors import TreadleError
from treadle_spool import NotASpool, Spool, SpoolError, Status, UnknownJob, check_name
from treadle_spool.identity import is_spool

_NAMED = 5
"""Ids that the error about an ambiguous prefix names."""


class NotAccepted(TreadleError):
    """The job is a file in drop/ that no engine has accepted so far."""

    exit_code = 2


def open_spool(root: Path) -> Spool:
    """Return the spool in a folder; raise NotASpool, with the reason, if there is none that can be read."""
    try:
        if is_spool(root):
            return Spool.open(root)
        reason = "is not a folder" if root.exists() and not root.is_dir() else ""
    except OSError as error:
        raise NotASpool(f"the spool {root} can't be read: {error.strerror}") from None
    raise NotASpool(
        f"{root} {reason}: a spool is one"
        if reason
        else f"{root} is not a spool; `treadle serve --spool {root}` makes one"
    )


def find(spool: Spool, job: str) -> Status:
    """Return the job with this id, or else the only one whose id begins with it.

    Raises UnknownJob or UnsafeName, NotAccepted for a file that is still in drop/, and TreadleError with the
    ids if there are several.
    """
    check_name(job)
    with suppress(UnknownJob):
        return spool.look_up(job)
    if os.path.lexists(spool.drop / f"{job}.json"):
        raise NotAccepted(f"job {job!r} is still in drop/: no engine has accepted it so far")
    if (whole := complete(job, _names(spool))) is None:
        raise UnknownJob(f"no job named {job!r}")
    return spool.look_up(whole)


def ids_of(told: tuple[Path, str] | None) -> list[str] | None:
    """Return the ids of all jobs of a spool that a server names, None if it is not here or not readable.

    The id tells a spool from that of another host, which may have the same path.
    """
    if told is None:
        return None
    with suppress(OSError, SpoolError):
        if is_spool(told[0]) and (spool := Spool.open(told[0])).id == told[1]:
            return list(_names(spool))
    return None


def complete(prefix: str, ids: Iterable[str]) -> str | None:
    """Return the only one of the ids that begins with the prefix, None if there is none.

    Raises TreadleError with some of the ids if there are several.
    """
    found = sorted({each for each in ids if each.startswith(prefix)})
    if len(found) > 1:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise TreadleError(
            f"{prefix!r} is the beginning of several ids: {', '.join(found[:_NAMED])}{more}; give more of it"
        )
    return found[0] if found else None


def _names(spool: Spool) -> Iterator[str]:
    """Yield the ids of all jobs; a job that moves meanwhile is not missed."""
    for place in (spool.queue, spool.run, spool.done):
        yield from spool.names(place)
