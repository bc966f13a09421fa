"""Docker, through aiodocker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import aiohttp
from aiodocker import Docker, DockerError

from treadle_containers import (
    INPUT,
    Address,
    ContainerEngine,
    ContainerSpec,
    ContainerState,
    EngineError,
    FrameParser,
    ImageInfo,
    LogFile,
    NameTaken,
    NoSuchImage,
    Report,
    whole,
)

_UNREACHABLE = 900
"""The status by which aiodocker says that it can't connect."""
_NOT_FOUND, _CONFLICT, _NOT_MODIFIED = 404, 409, 304
_NANO = 1_000_000_000
_SMALLEST_LOG = 16 * 1024 * 1024
_ROTATE = 2
"""A log that is so many times as large as what is kept of it is rotated: nothing fills the disk."""


class DockerEngine(ContainerEngine):
    """A Docker engine, at `url` or where DOCKER_HOST or the usual sockets say."""

    name = "docker"

    def __init__(self, url: str | None = None) -> None:
        self._address = Address("Docker", "DOCKER_HOST", Path("docker.sock"), url)
        self._client: Docker | None = None

    def remedy(self) -> str:
        """Say what to do where there is no Docker."""
        return (
            "Install Docker and start it (`systemctl start docker`), set DOCKER_HOST to its socket, "
            "or let the engine's user join the group `docker`"
        )

    async def version(self) -> str:
        """Return the version."""
        async with self._call() as docker:
            found = await docker.version()
            return f"Docker {found['Version']} at {self._address.places()[0]}"

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container."""
        async with self._call() as docker:
            try:
                made = await whole(docker.containers.create(_config(spec), name=spec.name))
            except DockerError as error:
                if error.status == _NOT_FOUND:
                    raise NoSuchImage(f"image {spec.image!r} is not on this host") from error
                if error.status == _CONFLICT:
                    raise NameTaken(error.message) from error
                raise
            return str(made.id)

    async def start(self, container: str) -> None:
        """Start a container."""
        async with self._call() as docker:
            await whole(docker.containers.container(container).start())

    async def inspect(self, container: str) -> ContainerState | None:
        """Return a container."""
        async with self._call() as docker:
            try:
                return _state(await docker.containers.container(container).show())
            except DockerError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise

    async def wait(self, container: str) -> ContainerState | None:
        """Wait for a container's end: the engine holds the answer back until then."""
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
                if error.status not in {_NOT_FOUND, _CONFLICT}:  # a conflict: it is being removed already
                    raise

    async def copy_log(self, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
        """Copy the log, whose frames say which of the two streams they are of."""
        async with self._call() as docker:
            await docker.version() if docker.api_version == "auto" else None
            url = f"{docker.docker_host}/{docker.api_version}/containers/{container}/logs"
            wanted = {"follow": str(int(follow)), **dict.fromkeys(into, "1")}
            async with docker.session.get(url, params=wanted) as answer:
                if answer.status in {_NOT_FOUND, _CONFLICT}:  # it has gone, or is about to
                    return
                if not answer.ok:
                    raise EngineError(f"the log can't be read: {await answer.text()}")
                parser = FrameParser()
                async for chunk in answer.content.iter_any():
                    for stream, printed in parser.feed(chunk).items():
                        into[stream].write(printed)
                    if any(each.full for each in into.values()):
                        return

    async def containers(self, label: str, value: str) -> list[ContainerState]:
        """Return the containers that have a label."""
        async with self._call() as docker:
            found = await docker.containers.list(all=True, filters=f'{{"label": ["{label}={value}"]}}')
        states = [await self.inspect(each.id) for each in found]
        return [state for state in states if state is not None]

    async def image(self, name: str) -> ImageInfo | None:
        """Return an image."""
        async with self._call() as docker:
            try:
                found = await docker.images.inspect(name)
            except DockerError as error:
                if error.status == _NOT_FOUND:
                    return None
                raise
            return ImageInfo(found["Id"], found["Config"].get("User") or "")

    async def build(self, tag: str, context: IO[bytes], report: Report) -> None:
        """Build an image."""
        async with self._call() as docker:
            progress = docker.images.build(fileobj=context, encoding="identity", tag=tag, stream=True)
            async for told in progress:
                _report(told, report)

    async def load(self, tag: str, archive: Path, report: Report) -> None:
        """Load an image and give it its name here."""
        async with self._call() as docker:
            loaded = ""
            with archive.open("rb") as file:
                async for told in docker.images.import_image(file, stream=True):
                    _report(told, report)
                    for mark in ("Loaded image ID: ", "Loaded image: "):
                        if (text := told.get("stream", "")).startswith(mark):
                            loaded = text.removeprefix(mark).strip()
            if not loaded:
                raise EngineError(f"{archive} holds no image")
            repository, _, version = tag.rpartition(":")
            await docker.images.tag(loaded, repository, tag=version)

    async def pull(self, name: str, report: Report) -> None:
        """Fetch an image."""
        async with self._call() as docker:
            async for told in docker.images.pull(name, stream=True):
                _report(told, report)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    @asynccontextmanager
    async def _call(self) -> AsyncIterator[Docker]:
        """Give the client, and turn what goes wrong with it into what callers know."""
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


def _config(spec: ContainerSpec) -> dict[str, Any]:
    """Return what Docker's API calls a container's config."""
    limits = spec.limits
    rotated = max(_SMALLEST_LOG, limits.output_limit * _ROTATE)
    host: dict[str, Any] = {
        "NetworkMode": limits.network,
        "CapDrop": ["ALL"],
        "CapAdd": list(limits.capabilities),
        "ReadonlyRootfs": not limits.writable_root,
        "Tmpfs": {"/tmp": f"rw,nosuid,nodev,size={limits.tmp_bytes},mode=1777"},  # noqa: S108  # the container's own
        "PidsLimit": limits.pids,
        "Mounts": [{"Type": "bind", "Source": str(spec.input), "Target": INPUT, "ReadOnly": True}],
        # The default driver replaces bytes that are not UTF-8.
        "LogConfig": {
            "Type": "local",
            "Config": {"max-size": str(rotated), "max-file": "2", "compress": "false"},
        },
    }
    if not limits.new_privileges:
        host["SecurityOpt"] = ["no-new-privileges"]
    if limits.memory_bytes is not None:
        host |= {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}
    if limits.cpus is not None:
        host["NanoCpus"] = int(limits.cpus * _NANO)
    if limits.gpus:
        host["DeviceRequests"] = [{"Driver": "", "Count": limits.gpus, "Capabilities": [["gpu"]]}]
    config: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "User": spec.user,
        "HostConfig": host,
    }
    if spec.command:
        config["Cmd"] = list(spec.command)
    return config


def _state(found: Mapping[str, Any]) -> ContainerState:
    state = found["State"]
    running = state["Running"] or state.get("Paused", False) or state.get("Restarting", False)
    return ContainerState.of(found, running)


def _report(told: Mapping[str, Any], report: Report) -> None:
    if "error" in told:
        raise EngineError(told["error"])
    parts = (told.get("stream"), told.get("id"), told.get("status"), told.get("progress"))
    if text := " ".join(str(part).strip() for part in parts if part).strip():
        report(text)
