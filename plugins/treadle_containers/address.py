"""Where a container engine is looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from treadle_containers.engine import EngineUnreachable


@dataclass(frozen=True, slots=True)
class Address:
    """The place that the settings name, else the environment, else the usual sockets."""

    product: str
    variable: str
    """The environment variable that names the engine's socket."""
    socket: Path
    """The engine's socket below /run, and below XDG_RUNTIME_DIR for an engine without root's rights."""
    url: str | None = None

    def places(self) -> list[str]:
        """Return the URLs where the engine may be, the one that counts first."""
        if named := self.url or os.environ.get(self.variable):
            return [named]
        folders = [Path(each) for each in (os.environ.get("XDG_RUNTIME_DIR"), "/run") if each]
        sockets = [folder / self.socket for folder in folders]
        return [f"unix://{socket}" for socket in sorted(sockets, key=lambda socket: not socket.exists())]

    def unreachable(self, detail: str) -> EngineUnreachable:
        """Return the error that says where the engine was looked for."""
        named = os.environ.get(self.variable) or "not set"
        where = f"{', '.join(self.places())} ({self.variable} is {named})"
        return EngineUnreachable(f"{self.product} can't be reached at {where}: {detail}")
