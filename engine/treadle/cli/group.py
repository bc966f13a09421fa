"""A group of commands, each imported when it is called."""

from __future__ import annotations

import importlib
from typing import Any

import click


class LazyGroup(click.Group):
    """A click group with two sources of commands: `module:attribute` strings, and the plugins.

    Plugins are loaded only if a command is not one of the group's own, or the list of commands is wanted.
    """

    def __init__(self, *args: Any, commands: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = commands
        self._extended = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands: the group's own in their order, then those of plugins."""
        self._extend()
        return [*self._lazy, *sorted(set(self.commands) - set(self._lazy))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if there is none of that name."""
        if cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        self._extend()
        return super().get_command(ctx, cmd_name)

    def _extend(self) -> None:
        """Have the plugins add their commands, once."""
        if not self._extended:
            self._extended = True
            from treadle.extend.loader import Plugins  # noqa: PLC0415  # most commands need no plugin, and start faster
            from treadle.interface.settings import make_settings  # noqa: PLC0415  # likewise

            Plugins(make_settings(None, {}, needs_spool=False)).extend("register_commands", cli=self)
