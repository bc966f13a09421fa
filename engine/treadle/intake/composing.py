"""Composing: what a client has sent, as a file on the disk, becomes the draft of a job's file.

It takes 5 ms for each MB, and holds the interpreter meanwhile. So for a large job it is the work of a process
of its own (validation_process.py), which is told by one of the structs here where to read.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from treadle.intake.posted import Posting, to_descriptor
from treadle_spool import Accepted, Descriptor, Origin, now
from treadle_spool.draft import LARGE
from treadle_spool.dropped import OpenFile, Unfinished, parse
from treadle_spool.folder import read_descriptor
from treadle_spool.left import origin_of
from treadle_spool.untrusted import LARGEST_DESCRIPTOR, read_regular


class FromBody(msgspec.Struct, frozen=True, tag="body"):
    """The body of a POST, in a file in tmp/."""

    path: str
    posting: Posting
    most: int = LARGE
    """Bytes of a data pool's file; LargeFile is raised if it has more."""

    def read(self) -> Accepted:
        """Return the job; raise InvalidDescriptor, TooLarge, LargeFile or OSError."""
        raw = read_regular(self.path, LARGEST_DESCRIPTOR)
        return to_descriptor(self.posting, raw, self.most).accepted(now())


class FromDrop(msgspec.Struct, frozen=True, tag="drop"):
    """A dropped file."""

    path: str
    origin: Origin
    """The file that is meant; another one may have its name by now."""

    @classmethod
    def of(cls, path: Path, file: os.stat_result) -> FromDrop:
        """Return a dropped file that was looked at."""
        return cls(str(path), origin_of(file))

    def read(self) -> Accepted:
        """Return the job; raise SpoolError, Unfinished or OSError."""
        with OpenFile(Path(self.path)) as opened:
            if origin_of(opened.file) != self.origin:
                raise Unfinished
            job: Descriptor = parse(opened.read())
        return msgspec.structs.replace(job, created=None, origin=self.origin).accepted(now())


class FromQueue(msgspec.Struct, frozen=True, tag="queue"):
    """A job's file, as it is in queue/."""

    path: str

    def read(self) -> Accepted:
        """Return the job; raise InvalidDescriptor or OSError."""
        return read_descriptor(self.path)


Source = FromBody | FromDrop | FromQueue
