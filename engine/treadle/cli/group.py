"""A group of commands that are imported when they are called."""

from __future__ import annotations

import importlib
from typing import Any

import click


class LazyGroup(click.Group):
    """Finds its own commands by `module:attribute`, and asks the plugins for the rest."""

    def __init__(self, *args: Any, commands: dict[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = commands
        self._extended = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, ours in their own order."""
        self._extend()
        return [*self._lazy, *sorted(set(self.commands) - set(self._lazy))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now."""
        if cmd_name in self._lazy:
            module, _, attribute = self._lazy[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        self._extend()
        return super().get_command(ctx, cmd_name)

    def _extend(self) -> None:
        """Let the plugins add their commands, once."""
        if not self._extended:
            self._extended = True
            from treadle.extend.loader import Plugins  # noqa: PLC0415  # most commands need no plugin, and are faster so
            from treadle.interface.settings import Settings  # noqa: PLC0415  # likewise

            Plugins(Settings()).extend("register_commands", cli=self)
