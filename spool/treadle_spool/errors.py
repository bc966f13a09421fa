"""The errors of the spool. The docstring of each class is its default message."""

from __future__ import annotations

from typing import ClassVar


class SpoolError(Exception):
    """The spool refused the request."""

    code: ClassVar[str] = "REFUSED"
    """The error code for programs, for example in bad/<name>.reason.json."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.__doc__)


class NameTaken(SpoolError):
    """A job with this name exists already."""

    code = "NAME_TAKEN"


class UnsafeName(SpoolError):
    """The name can't be used as a file name in the spool."""

    code = "UNSAFE_NAME"


class InvalidDescriptor(SpoolError):
    """The job descriptor is not valid.

    `path` is the JSON path of the fault, such as `$.params`.
    """

    code = "INVALID_JOB"

    def __init__(self, detail: str, path: str = "$") -> None:
        super().__init__(detail)
        self.path = path


class InvalidJson(InvalidDescriptor):
    """The text is not JSON."""

    code = "INVALID_JSON"


class NotAFile(SpoolError):
    """The dropped entry is not a regular file."""

    code = "NOT_A_FILE"


class HardLinked(SpoolError):
    """The dropped file has a second hard link, which may be outside of the spool."""

    code = "HARD_LINK"


class Unreadable(SpoolError):
    """The engine's user may not read the dropped file."""

    code = "UNREADABLE"


class TooLarge(SpoolError):
    """The dropped file is larger than a job may be.

    `path` is the JSON path of what refers to the file, if it was not dropped.
    """

    code = "TOO_LARGE"

    def __init__(self, detail: str, path: str | None = None) -> None:
        super().__init__(detail)
        self.path = path


class UnknownJob(SpoolError):
    """The spool has no job with this name."""

    code = "UNKNOWN_JOB"


class SpoolInUse(SpoolError):
    """Another engine holds the spool."""

    code = "SPOOL_IN_USE"


class NotOwner(SpoolError):
    """The spool's lock has been left: only its holder claims and ends jobs."""

    code = "NOT_OWNER"


class NotASpool(SpoolError):
    """The folder holds something else, or a spool of another format version."""

    code = "NOT_A_SPOOL"
