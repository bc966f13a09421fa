"""What goes wrong in the engine. Each class's docstring is its message."""

from __future__ import annotations


class TreadleError(Exception):
    """Treadle can't do that. Every error that a user can mend is one of these: one clear line."""

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail or self.__doc__)


class ServiceError(TreadleError):
    """The service project can't be used."""


class SettingsError(TreadleError):
    """The engine's settings are not valid."""


class PluginError(TreadleError):
    """The plugin can't be used."""
