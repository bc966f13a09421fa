"""The engine's errors. The docstring of a class is its default message, so it is one line.

TreadleError is the root of all errors that a user can mend. The command line prints such an error as one
line, without a traceback.
"""

from __future__ import annotations


class TreadleError(Exception):
    """Treadle can't do what was asked for."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.__doc__)


class ServiceError(TreadleError):
    """The service project can't be used."""


class SettingsError(TreadleError):
    """The engine's settings are not valid."""


class PluginError(TreadleError):
    """The plugin can't be used."""
