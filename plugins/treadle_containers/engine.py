"""The interface of a container engine: the calls that an attempt needs and that Docker and Podman share."""

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

ARCHIVE_LIMIT = 1024 * 1024
"""Bytes of a file that are fetched from a container."""
TAG_LABEL = "treadle.image"
"""The label of a built image, with its name: so each is an image of its own, made when it was built.

A builder's cache gives the same image again for the same content, with the time of the first build.
"""
_ZERO_TIME = "0001-"
"""How the timestamp of an event that has not happened begins."""


class EngineError(Exception):
    """The container engine refused."""


class EngineUnreachable(EngineError):
    """The container engine does not answer at present; the message says where it was looked for."""


class NoSuchImage(EngineError):
    """The image is not on this host."""


class NotFetched(EngineError):
    """The image can't be fetched from its registry."""


class NotBuilt(EngineError):
    """The image can't be built; the message says why, with the last lines of the build."""


class NotLoaded(EngineError):
    """The image can't be loaded from its archive."""


class NameTaken(EngineError):
    """The container's name is already in use."""


class NoInit(EngineError):
    """The engine has no init that it could put into a container; the container has not been started."""


@dataclass(frozen=True, slots=True)
class ContainerState:
    """The state of a container at one moment."""

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
    user: str
    """The user that it was created for."""

    @classmethod
    def of(cls, inspected: Mapping[str, Any], running: bool) -> Self:
        """Return the state from the reply of `inspect`, which has the same fields in both engines.

        The caller decides `running`: the engines' states for it differ.
        """
        state = inspected["State"]
        finished = state["FinishedAt"]
        return cls(
            id=inspected["Id"],
            running=running,
            started=not state["StartedAt"].startswith(_ZERO_TIME),
            code=state["ExitCode"],
            out_of_memory=bool(state.get("OOMKilled")),
            error=state.get("Error") or "",
            ended=None if finished.startswith(_ZERO_TIME) else datetime.fromisoformat(finished),
            labels=inspected["Config"].get("Labels") or {},
            user=inspected["Config"].get("User") or "",
        )


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """An image on this host."""

    id: str
    user: str
    """The user that the image names; empty for root."""
    variables: frozenset[str] = frozenset()
    """The names of the environment variables that the image sets."""

    @classmethod
    def of(cls, inspected: Mapping[str, Any], user: str | None) -> Self:
        """Return the image from the reply of `inspect`; the engines have its user in different places."""
        variables = (inspected.get("Config") or {}).get("Env") or ()
        names = frozenset(variable.partition("=")[0] for variable in variables)
        return cls(id=inspected["Id"], user=user or "", variables=names)


Report = Callable[[str], None]
"""A callback that takes one line of progress."""


async def whole(call: Awaitable[Answer]) -> Answer:
    """Await a call to its end even if the caller is cancelled meanwhile, then raise the cancellation.

    An engine carries out each request that it has received, so the result must be known in any case.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


class ContainerEngine(ABC):
    """The client of one container engine, implemented by a runtime plugin.

    It lives as long as its ContainerRuntime. The runtime calls the methods from one event loop, several
    of them at a time. The client keeps nothing that must survive a crash. Every method raises EngineError if
    the engine refuses, and EngineUnreachable if the engine does not answer.

    A call is completed even if its task is cancelled meanwhile (see `whole`). The exceptions are wait,
    copy_log, archive, build, load and pull.
    """

    name: ClassVar[str]

    buildkit: ClassVar[bool] = True
    """Whether its builder knows what BuildKit has added to Dockerfiles."""

    def boot(self) -> str:
        """Return what tells one boot of the engine's host from another; empty where that can't be told.

        After another boot neither the exit nor the log of a container is believed, since a power cut tears
        the engine's own files. The default is for engines on other hosts, whose containers go on when this
        host goes down.
        """
        return ""

    @abstractmethod
    async def version(self) -> str:
        """Return the engine's version."""

    @abstractmethod
    def remedy(self) -> str:
        """Return what to install or start where the engine can't be reached."""

    @abstractmethod
    async def create(self, spec: ContainerSpec) -> str:
        """Create a container and return its id; raise NoSuchImage, NameTaken or NoInit."""

    async def prepare(self, container: str) -> None:  # noqa: B027  # not every engine has this step
        """Do the part of a start that comes before the program; start does it if prepare was not called."""

    @abstractmethod
    async def start(self, container: str) -> None:
        """Start a container that was never started; raise NoInit."""

    @abstractmethod
    async def inspect(self, container: str) -> ContainerState | None:
        """Return the state of a container, given its id or name, or None if there is none."""

    @abstractmethod
    async def wait(self, container: str) -> ContainerState | None:
        """Wait until a started container has ended and return its state; None if it has been removed."""

    @abstractmethod
    async def stop(self, container: str, grace: float) -> None:
        """Send a running container SIGTERM, and SIGKILL after grace seconds; return when it has ended."""

    @abstractmethod
    async def remove(self, container: str) -> None:
        """Remove a container, running or not; a container that does not exist is no error."""

    @abstractmethod
    async def archive(self, container: str, path: str) -> bytes:
        """Return a file of a container, running or not, as a tar archive; empty if there is none.

        A symbolic link may be followed or not. Of a file of more than ARCHIVE_LIMIT bytes a part is returned.
        """

    @abstractmethod
    async def copy_log(self, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
        """Copy a container's log from its start into the files for `stdout` or `stderr` or both.

        With follow, continue until the container has ended. The copy ends when one of the files is full.
        """

    async def overflows(self, container: str, limit: int) -> bool:
        """Return whether the engine's own log of a container must hold more than limit bytes of output.

        For engines whose logs are unbounded and slow to read.
        """
        return False

    @abstractmethod
    async def containers(self, label: str, value: str) -> list[ContainerState]:
        """Return the containers with a label of this value, running or not."""

    @abstractmethod
    async def image(self, name: str) -> ImageInfo | None:
        """Return an image of this host by its name, or None if there is none."""

    @abstractmethod
    async def build(self, tag: str, context: IO[bytes], dockerfile: str, pull: bool, report: Report) -> None:
        """Build an image from a tar archive, by the Dockerfile of that name in it.

        The image has TAG_LABEL.

        pull: whether missing base images are fetched. Without it the caller has found all of them.
        """

    @abstractmethod
    async def images(self, repository: str) -> list[tuple[str, datetime]]:
        """Return the names of this host's images, and when they were made, whose name begins like that."""

    @abstractmethod
    async def remove_image(self, name: str) -> None:
        """Remove an image's name, and the image with its last one; raise EngineError if that is in use."""

    @abstractmethod
    async def load(self, tag: str, archive: Path, report: Report) -> None:
        """Load an image from an archive of `docker save` or `podman save`, and tag it."""

    @abstractmethod
    async def pull(self, name: str, report: Report) -> None:
        """Pull an image from its registry."""

    async def close(self) -> None:  # noqa: B027  # not every client has something open
        """Close the connections; called once, when the runtime is closed."""
