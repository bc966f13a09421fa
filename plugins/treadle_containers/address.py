"""The address of a container engine: where its socket is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from treadle import boot
from treadle_containers.engine import EngineUnreachable

_LOCAL = ("unix://", "http+unix://")
"""How the URL of an engine on this host begins."""


@dataclass(frozen=True, slots=True)
class Address:
    """The URL in the settings, else the one in the environment, else the engine's default sockets."""

    product: str
    """The engine's name in error messages."""
    variable: str
    """The environment variable with the URL of the engine's socket."""
    socket: Path
    """The engine's socket, relative to /run, or to XDG_RUNTIME_DIR for an engine without root's rights."""
    url: str | None = None

    def places(self) -> list[str]:
        """Return the URLs where the engine may be; the first one is used."""
        if configured := self.url or os.environ.get(self.variable):
            return [configured]
        folders = [Path(each) for each in (os.environ.get("XDG_RUNTIME_DIR"), "/run") if each]
        sockets = [folder / self.socket for folder in folders]
        return [f"unix://{socket}" for socket in sorted(sockets, key=lambda socket: not socket.exists())]

    def boot(self) -> str:
        """Return the boot id of the engine's host if that is this host (a Unix socket), else an empty text.

        It is the boot id alone: a container lives in its engine's PID namespace and not in ours. So if we
        run in a container ourselves and that is restarted, our jobs' containers are adopted.
        """
        local = self.places()[0].startswith(_LOCAL)
        return boot().partition("/")[0] if local else ""

    def unreachable(self, detail: str) -> EngineUnreachable:
        """Return the error for an engine that does not answer, with the URLs and the variable's value."""
        value = os.environ.get(self.variable) or "not set"
        where = f"{', '.join(self.places())} ({self.variable} is {value})"
        return EngineUnreachable(f"{self.product} can't be reached at {where}: {detail}")
