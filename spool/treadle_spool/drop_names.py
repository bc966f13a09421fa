"""The names of entries of drop/: writers' temporary names, and those that the engine gives for a moment."""

from __future__ import annotations

import os
import re
from enum import Enum

from treadle_spool.errors import SpoolError, UnsafeName
from treadle_spool.names import check_name, shortened

SUFFIX = ".json"

PARTIAL_PREFIXES = (".", "~$", "#")
"""Hidden files; lock files of office programs; what an editor saves by itself."""
PARTIAL_SUFFIXES = (
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".swp",
    ".swx",
    ".crdownload",
    ".download",
    ".opdownload",
    ".aria2",
    ".incomplete",
    ".uploading",
    ".upload",
    ".writing",
    ".inprogress",
    ".gstmp",
    ".lock",
    "~",
)
"""rsync and most programs, rclone, WinSCP, vim, browsers, download and upload managers, backups."""
_TEMPORARY = re.compile(r"tmp[A-Za-z0-9_]{6,10}\.json", re.ASCII)
"""What tempfile and mktemp name a file: a job's name, and most likely not the last one of the file."""
_TAKEN = re.compile(r"\.taking-[0-9a-f]{8}-(?P<name>.+)", re.DOTALL)
_LONGEST_TAKEN = 200
"""Bytes of a name that are kept in the name of a taken file."""


class Kind(Enum):
    """What the name of an entry says about it."""

    PARTIAL = "a temporary name: left alone, for ever"
    DOUBTFUL = "no job's name, or a likely temporary one: judged when the entry has been quiet for a while"
    JOB = "the name of a job"


def kind_of(name: str) -> Kind:
    """Return what the name says."""
    if name.startswith(PARTIAL_PREFIXES) or name.lower().endswith(PARTIAL_SUFFIXES):
        return Kind.PARTIAL
    try:
        job_name(name)
    except SpoolError:
        return Kind.DOUBTFUL
    return Kind.DOUBTFUL if _TEMPORARY.fullmatch(name) else Kind.JOB


def job_name(name: str) -> str:
    """Return the name of the job that a dropped file becomes; raise UnsafeName."""
    if not name.endswith(SUFFIX):
        raise UnsafeName("a job's file is named <name>.json")
    return check_name(name.removesuffix(SUFFIX))


def is_hidden(entry: str) -> bool:
    """Return whether no event of the entry is of interest: writers' hidden files, and what was taken."""
    return entry.startswith(".")


def taken_name(entry: str) -> str:
    """Return a new hidden name for an entry that is taken away; it holds the name that was dropped."""
    return f".taking-{os.urandom(4).hex()}-{shortened(dropped_name(entry), _LONGEST_TAKEN)}"


def dropped_name(entry: str) -> str:
    """Return the name that an entry was dropped with: its own, unless it was taken away before."""
    match = _TAKEN.fullmatch(entry)
    return match["name"] if match else entry
