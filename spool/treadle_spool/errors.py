"""What can go wrong at the spool. Each class's docstring is its message."""

from __future__ import annotations


class SpoolError(Exception):
    """The spool refused."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.__doc__)


class NameTaken(SpoolError):
    """A job of that name exists already."""


class UnsafeName(SpoolError):
    """The name can't be used as a file name in the spool."""


class InvalidDescriptor(SpoolError):
    """The job descriptor is not valid.

    path is the JSON path of the fault, such as `$.params`.
    """

    def __init__(self, detail: str, path: str = "$") -> None:
        super().__init__(detail)
        self.path = path


class UnknownJob(SpoolError):
    """No job of that name is in the spool."""


class SpoolInUse(SpoolError):
    """Another engine holds the spool."""


class NotASpool(SpoolError):
    """The folder holds something else, or a spool of another format version."""
