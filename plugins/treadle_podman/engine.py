"""The client of a Podman service, over podman-py."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from podman import PodmanClient
from podman.errors import APIError, ImageNotFound

from treadle_containers import (
    Address,
    ContainerEngine,
    ContainerSpec,
    ContainerState,
    EngineError,
    EngineUnreachable,
    ImageInfo,
    LogFile,
    NameTaken,
    NoInit,
    NoSuchImage,
    Report,
    whole,
)
from treadle_podman.calls import NOT_FOUND, NOT_MODIFIED, archive, describe, force_remove, handle, inspect
from treadle_podman.connection import Connection, explanation
from treadle_podman.host import is_local, is_monitored, open_first_process, process_end
from treadle_podman.images import build_options, find_image, listed, load_image
from treadle_podman.logs import copy_log, log_path
from treadle_podman.options import options_of

_LINE_OVERHEAD = 48
"""Bytes that a printed line of one byte takes in the log at most, with its time and stream."""
_NO_INIT = "container-init binary not found"
_RUNNING = frozenset({"running", "paused", "stopping"})
_ENDED = ["exited", "stopped"]
_POLL = "250ms"
"""The interval at which Podman polls a container whose first process is on another host."""
_UNMONITORED_POLLS = 200
"""Polls until a container is removed that Podman shows as running without a process or a monitor."""
_BUSY = "resource busy"
"""In the error of Podman for a container that is partly in use."""
_BUSY_BACKOFF = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between tries to remove a container that is partly in use."""


class PodmanEngine(ContainerEngine):
    """The client of the Podman service at `url`, else at CONTAINER_HOST, else at the default sockets.

    It connects at its first call.
    """

    name = "podman"

    def __init__(self, url: str | None = None) -> None:
        self._address = Address("Podman", "CONTAINER_HOST", Path("podman", "podman.sock"), url)
        self._connection = Connection(self._address)

    def boot(self) -> str:
        """Return the boot id of this host, for an engine behind a Unix socket."""
        return self._address.boot()

    def remedy(self) -> str:
        """Return how to install and reach Podman."""
        return (
            "Install Podman and start its service (`systemctl --user start podman.socket`, or as root "
            "`systemctl start podman.socket`), or set CONTAINER_HOST to its socket"
        )

    async def version(self) -> str:
        """Return the version, and which limits a Podman without root's rights can't set."""
        return f"Podman {await self._connection.call(describe)} at {self._address.places()[0]}"

    async def create(self, spec: ContainerSpec) -> str:
        """Create a container."""

        def create(podman: PodmanClient) -> str:
            try:
                created = podman.containers.create(spec.image, list(spec.command) or None, **options_of(spec))
            except ImageNotFound as error:
                raise NoSuchImage(f"image {spec.image!r} is not on this host") from error
            except APIError as error:
                if "already in use" in explanation(error):
                    raise NameTaken(explanation(error)) from error
                if _NO_INIT in explanation(error):
                    raise NoInit(explanation(error)) from error
                raise
            return str(created.id)

        return await whole(self._connection.call(create))

    async def prepare(self, container: str) -> None:
        """Have the OCI runtime set up the container; the program waits for start."""

        def prepare(podman: PodmanClient) -> None:
            response = podman.api.post(f"/containers/{container}/init")
            if response.status_code != NOT_MODIFIED:
                response.raise_for_status()

        await whole(self._connection.call(prepare))

    async def start(self, container: str) -> None:
        """Start a container."""
        await whole(self._connection.call(lambda podman: handle(podman, container).start()))

    async def inspect(self, container: str) -> ContainerState | None:
        """Return the state of a container."""
        inspected = await self._connection.call(lambda podman: inspect(podman, container))
        return None if inspected is None else _state(inspected)

    async def wait(self, container: str) -> ContainerState | None:
        """Wait for a container's end: the kernel reports it, also while Podman's service restarts (host.py).

        If the service is on another host, Podman polls the container instead.
        """
        while True:
            inspected = await self._connection.call(lambda podman: inspect(podman, container))
            if inspected is None or not (state := _state(inspected)).running:
                return None if inspected is None else state
            if is_local(inspected):
                if (pidfd := open_first_process(inspected)) is not None:
                    try:
                        await process_end(pidfd)
                    finally:
                        os.close(pidfd)
                return await self._ended_state(container)
            await self._connection.call(
                lambda podman: handle(podman, container).wait(condition=_ENDED, interval=_POLL)
            )

    async def _ended_state(self, container: str) -> ContainerState | None:
        """Poll a container whose first process has ended until Podman shows it as ended.

        The first polls follow each other closely: a little later Podman cleans the container up and responds
        late. If the container's monitor was killed, Podman never learns of the end, and the exit code is
        unknown. The container is removed then, and None is returned.
        """
        unmonitored = 0
        for delay in itertools.chain((0.001, 0.002, 0.005), itertools.repeat(0.01)):
            inspected = await self._connection.call(lambda podman: inspect(podman, container))
            if inspected is None or not (state := _state(inspected)).running:
                return None if inspected is None else state
            unmonitored = 0 if is_monitored(inspected) else unmonitored + 1
            if unmonitored > _UNMONITORED_POLLS:
                await self.remove(container)
                return None
            await asyncio.sleep(delay)
        raise AssertionError("the delays never end")

    async def stop(self, container: str, grace: float) -> None:
        """Stop a container."""

        def stop(podman: PodmanClient) -> None:
            try:
                handle(podman, container).stop(timeout=max(0, round(grace)))
            except APIError as error:
                if error.status_code not in {NOT_FOUND, NOT_MODIFIED}:
                    raise

        await whole(self._connection.call(stop))

    async def remove(self, container: str) -> None:
        """Remove a container; retry for a while if Podman reports that it is partly in use.

        A mount of a service that was killed during a start can block a removal by the next service
        (https://github.com/containers/podman/issues/11594). On a retry, Podman continues the removal.
        """
        for delay in _BUSY_BACKOFF:
            try:
                return await whole(self._connection.call(lambda podman: force_remove(podman, container)))
            except EngineUnreachable:
                raise
            except EngineError as error:
                if _BUSY not in str(error):
                    raise
            await asyncio.sleep(delay)
        return await whole(self._connection.call(lambda podman: force_remove(podman, container)))

    async def archive(self, container: str, path: str) -> bytes:
        """Return a file of a container; Podman follows a symbolic link."""
        return await self._connection.call(lambda podman: archive(podman, container, path))

    async def copy_log(self, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
        """Copy the log: of an ended container from its file if that is on this host."""
        await self._connection.call(lambda podman: copy_log(podman, container, into, follow))

    async def overflows(self, container: str, limit: int) -> bool:
        """Return whether the log file is larger than limit bytes of each stream can make it.

        It is largest if each byte is a line of its own.
        """

        def is_larger(podman: PodmanClient) -> bool:
            path = log_path(podman, container)
            return path is not None and path.stat().st_size > 2 * limit * _LINE_OVERHEAD

        return await self._connection.call(is_larger)

    async def containers(self, label: str, value: str) -> list[ContainerState]:
        """Return the containers that have a label."""
        filters = [f"label={label}={value}"]  # podman-py accepts a mapping, too, but then finds nothing

        def find(podman: PodmanClient) -> list[str]:
            return [str(each.id) for each in podman.containers.list(all=True, filters=filters)]

        states = [await self.inspect(each) for each in await self._connection.call(find)]
        return [state for state in states if state is not None]

    async def image(self, name: str) -> ImageInfo | None:
        """Return an image by its name."""
        return await self._connection.call(lambda podman: find_image(podman, name))

    async def build(self, tag: str, context: IO[bytes], dockerfile: str, pull: bool, report: Report) -> None:
        """Build an image, and leave no container behind, also if it fails."""
        await self._connection.post("/build", build_options(tag, dockerfile, pull), context, report)

    async def load(self, tag: str, archive: Path, report: Report) -> None:
        """Load an image and tag it."""
        report(f"loading {archive}")
        await self._connection.call(lambda podman: load_image(podman, tag, archive))

    async def pull(self, name: str, report: Report) -> None:
        """Pull an image."""
        await self._connection.post("/images/pull", {"reference": name, "policy": "always"}, None, report)

    async def images(self, repository: str) -> list[tuple[str, datetime]]:
        """Return the images whose name begins like that."""
        return await self._connection.call(lambda podman: listed(podman, repository))

    async def remove_image(self, name: str) -> None:
        """Remove an image."""
        await self._connection.call(lambda podman: podman.images.remove(name))

    async def close(self) -> None:
        """Close the connections."""
        self._connection.close()


def _state(inspected: Mapping[str, Any]) -> ContainerState:
    return ContainerState.of(inspected, running=inspected["State"]["Status"] in _RUNNING)
