"""A container engine, as far as attempts need one: what Docker and Podman have in common."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any, ClassVar, Self, TypeVar

from treadle_containers.logs import LogFile
from treadle_containers.spec import ContainerSpec

Answer = TypeVar("Answer")

_NEVER = "0001-"
"""How a time that has not come begins."""


class EngineError(Exception):
    """The container engine refused."""


class EngineUnreachable(EngineError):
    """The container engine can't be reached, now; the message says where it was looked for."""


class NoSuchImage(EngineError):
    """The image is not on this host."""


class NameTaken(EngineError):
    """There is a container of that name."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """A container at one moment."""

    id: str
    running: bool
    started: bool
    """Whether it has ever been started."""
    code: int
    """The exit code, once it has ended."""
    out_of_memory: bool
    error: str
    ended: datetime | None
    labels: Mapping[str, str]

    @classmethod
    def of(cls, found: Mapping[str, Any], running: bool) -> Self:
        """Return what both engines' `inspect` tells in the same words; what counts as running they don't."""
        state = found["State"]
        finished = state["FinishedAt"]
        return cls(
            id=found["Id"],
            running=running,
            started=not state["StartedAt"].startswith(_NEVER),
            code=state["ExitCode"],
            out_of_memory=bool(state.get("OOMKilled")),
            error=state.get("Error") or "",
            ended=None if finished.startswith(_NEVER) else datetime.fromisoformat(finished),
            labels=found["Config"].get("Labels") or {},
        )


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image on this host."""

    id: str
    user: str
    """The user it names; empty for root."""


Report = Callable[[str], None]
"""Takes a line that tells how something goes."""


async def whole(call: Awaitable[Answer]) -> Answer:
    """Carry a call out to its end even if the caller is cancelled meanwhile; the cancellation follows then.

    A request that an engine has received is carried out by it anyway: better to know how it went.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class ContainerEngine(ABC):
    """One container engine. Every method raises EngineError, or EngineUnreachable when nobody answers.

    Each call is carried out whole, even where the task that made it is cancelled meanwhile, except
    for wait, copy_log, build, load and pull.
    """

    name: ClassVar[str]

    @abstractmethod
    async def version(self) -> str:
        """Return the engine's version."""

    @abstractmethod
    def remedy(self) -> str:
        """Say what to install or start where the engine can't be reached."""

    @abstractmethod
    async def create(self, spec: ContainerSpec) -> str:
        """Make a container and return its id; raise NoSuchImage or NameTaken."""

    async def prepare(self, container: str) -> None:  # noqa: B027  # not every engine tells the two apart
        """Do what comes before the program of a container begins; start does it where this was not called."""

    @abstractmethod
    async def start(self, container: str) -> None:
        """Start a container that was never started."""

    @abstractmethod
    async def inspect(self, container: str) -> ContainerState | None:
        """Return a container by its id or name, or None if there is none."""

    @abstractmethod
    async def wait(self, container: str) -> ContainerState | None:
        """Wait until a container that was started has ended, and return it; None if it has been removed."""

    @abstractmethod
    async def stop(self, container: str, grace: float) -> None:
        """Send a running container SIGTERM, and after grace seconds SIGKILL; return when it has ended."""

    @abstractmethod
    async def remove(self, container: str) -> None:
        """Remove a container, running or not; one that has gone is no error."""

    @abstractmethod
    async def copy_log(self, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
        """Copy what a container has printed, from the start, into the files for `stdout` or `stderr` or both.

        With follow, go on until it has ended. A file that is full ends the copy.
        """

    async def overflows(self, container: str, limit: int) -> bool:
        """Say whether what the engine keeps of a container's log must be more than limit bytes of output.

        For engines whose logs have no bound of their own and are slow to read.
        """
        return False

    @abstractmethod
    async def containers(self, label: str, value: str) -> list[ContainerState]:
        """Return the containers that have a label, running or not."""

    @abstractmethod
    async def image(self, name: str) -> ImageInfo | None:
        """Return an image of this host by its name, or None if there is none."""

    @abstractmethod
    async def build(self, tag: str, context: IO[bytes], report: Report) -> None:
        """Build an image from a tar archive with a Dockerfile, pulling nothing."""

    @abstractmethod
    async def load(self, tag: str, archive: Path, report: Report) -> None:
        """Load an image from an archive that `docker save` or `podman save` has written, as tag."""

    @abstractmethod
    async def pull(self, name: str, report: Report) -> None:
        """Fetch an image from its registry."""

    async def close(self) -> None:  # noqa: B027  # not every client has something open
        """Close the connections."""
