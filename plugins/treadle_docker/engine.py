"""The client of a Docker engine, over aiodocker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import aiohttp

from treadle_containers import (
    ARCHIVE_LIMIT,
    Address,
    ContainerEngine,
    ContainerSpec,
    ContainerState,
    EngineError,
    FrameParser,
    ImageInfo,
    LogFile,
    NameTaken,
    NoInit,
    NoSuchImage,
    Report,
    whole,
)
from treadle_docker import images
from treadle_docker.client import Docker, DockerError
from treadle_docker.config import config_of

_UNREACHABLE = 900
"""The status of aiodocker's error for a failed connection."""
_NO_INIT = 'exec: "docker-init": executable file not found'
"""In the error of a Docker that is installed without its init."""
_NOT_FOUND, _CONFLICT, _NOT_MODIFIED = 404, 409, 304


class DockerEngine(ContainerEngine):
    """The client of the Docker engine at `url`, else at DOCKER_HOST, else at the default sockets.

    It connects at its first call.
    """

    name = "docker"
    buildkit = False

    def __init__(self, url: str | None = None) -> None:
        self._address = Address("Docker", "DOCKER_HOST", Path("docker.sock"), url)
        self._client: Docker | None = None

    def boot(self) -> str:
        """Return the boot id of this host, for an engine behind a Unix socket."""
        return self._address.boot()

    def remedy(self) -> str:
        """Return how to install and reach Docker."""
        return (
            "Install Docker and start it (`systemctl start docker`), set DOCKER_HOST to its socket, "
            "or let the engine's user join the group `docker`"
        )

    async def version(self) -> str:
        """Return the version."""
        async with self._call() as docker:
            reply = await docker.version()
            return f"Docker {reply['Version']} at {self._address.places()[0]}"

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container."""
        async with self._call() as docker:
            try:
                created = await whole(docker.containers.create(config_of(spec), name=spec.name))
            except DockerError as error:
                if error.status == _NOT_FOUND:
                    raise NoSuchImage(f"image {spec.image!r} is not on this host") from error
                if error.status == _CONFLICT:
                    raise NameTaken(error.message) from error
                raise
            return str(created.id)

    async def start(self, container: str) -> None:
        """Start a container."""
        async with self._call() as docker:
            try:
                await whole(docker.containers.container(container).start())
            except DockerError as error:
                if _NO_INIT in error.message:
                    raise NoInit(error.message) from error
                raise

    async def inspect(self, container: str) -> ContainerState | None:
        """Return the state of a container."""
        async with self._call() as docker:
            try:
                return _state(await docker.containers.container(container).show())
            except DockerError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise

    async def wait(self, container: str) -> ContainerState | None:
        """Wait for a container's end: the engine delays its response until then."""
        async with self._call() as docker:
            try:
                await docker.containers.container(container).wait()
            except DockerError as error:
                if error.status != _NOT_FOUND:
                    raise
        return await self.inspect(container)

    async def stop(self, container: str, grace: float) -> None:
        """Stop a container."""
        async with self._call() as docker:
            try:
                await whole(docker.containers.container(container).stop(t=max(0, round(grace))))
            except DockerError as error:
                if error.status not in {_NOT_FOUND, _NOT_MODIFIED}:
                    raise

    async def remove(self, container: str) -> None:
        """Remove a container."""
        async with self._call() as docker:
            try:
                await whole(docker.containers.container(container).delete(force=True, v=True))
            except DockerError as error:
                if error.status not in {_NOT_FOUND, _CONFLICT}:  # a conflict: it is already being removed
                    raise

    async def archive(self, container: str, path: str) -> bytes:
        """Return a file of a container; a symbolic link is not followed."""
        async with self._call() as docker:
            await docker.version() if docker.api_version == "auto" else None
            url = f"{docker.docker_host}/{docker.api_version}/containers/{container}/archive"
            async with docker.session.get(url, params={"path": path}) as response:
                if response.status == _NOT_FOUND:
                    return b""
                if not response.ok:
                    raise EngineError(f"{path} can't be read: {await response.text()}")
                return await _read_some(response.content)

    async def copy_log(self, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
        """Copy the log; its frames name their stream."""
        async with self._call() as docker:
            await docker.version() if docker.api_version == "auto" else None
            url = f"{docker.docker_host}/{docker.api_version}/containers/{container}/logs"
            params = {"follow": str(int(follow)), **dict.fromkeys(into, "1")}
            async with docker.session.get(url, params=params) as response:
                if response.status in {_NOT_FOUND, _CONFLICT}:  # it has been removed, or is being removed
                    return
                if not response.ok:
                    raise EngineError(f"the log can't be read: {await response.text()}")
                parser = FrameParser()
                async for chunk in response.content.iter_any():
                    for stream, payload in parser.feed(chunk).items():
                        into[stream].write(payload)
                    if any(each.full for each in into.values()):
                        return

    async def containers(self, label: str, value: str) -> list[ContainerState]:
        """Return the containers that have a label."""
        async with self._call() as docker:
            listed = await docker.containers.list(all=True, filters=f'{{"label": ["{label}={value}"]}}')
        states = [await self.inspect(each.id) for each in listed]
        return [state for state in states if state is not None]

    async def image(self, name: str) -> ImageInfo | None:
        """Return an image by its name."""
        async with self._call() as docker:
            return await images.find(docker, name)

    async def build(self, tag: str, context: IO[bytes], dockerfile: str, pull: bool, report: Report) -> None:
        """Build an image; Docker fetches base images that are missing, whether pull says so or not."""
        async with self._call() as docker:
            await images.build(docker, tag, context, dockerfile, report)

    async def load(self, tag: str, archive: Path, report: Report) -> None:
        """Load an image and tag it."""
        async with self._call() as docker:
            await images.load(docker, tag, archive, report)

    async def pull(self, name: str, report: Report) -> None:
        """Pull an image."""
        async with self._call() as docker:
            await images.pull(docker, name, report)

    async def images(self, repository: str) -> list[tuple[str, datetime]]:
        """Return the images whose name begins like that."""
        async with self._call() as docker:
            return await images.listed(docker, repository)

    async def remove_image(self, name: str) -> None:
        """Remove an image."""
        async with self._call() as docker:
            await docker.images.delete(name)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[Docker]:
        """Yield the client, and translate its errors into EngineError and EngineUnreachable."""
        try:
            if self._client is None:
                self._client = Docker(url=self._address.places()[0])
            yield self._client
        except DockerError as error:
            if error.status == _UNREACHABLE:
                raise self._address.unreachable(error.message) from error
            raise EngineError(error.message) from error
        except (aiohttp.ClientError, ConnectionError) as error:
            raise self._address.unreachable(str(error)) from error
        except (AssertionError, ValueError) as error:
            raise self._address.unreachable(f"{error}") from error


def _state(inspected: Mapping[str, Any]) -> ContainerState:
    state = inspected["State"]
    running = state["Running"] or state.get("Paused", False) or state.get("Restarting", False)
    return ContainerState.of(inspected, running)


async def _read_some(stream: aiohttp.StreamReader) -> bytes:
    """Return at most ARCHIVE_LIMIT bytes of a response."""
    chunks = bytearray()
    async for chunk in stream.iter_any():
        chunks += chunk
        if len(chunks) >= ARCHIVE_LIMIT:
            break
    return bytes(chunks[:ARCHIVE_LIMIT])
