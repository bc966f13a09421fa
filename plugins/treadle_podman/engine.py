"""Podman, through podman-py."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import IO, Any, TypeVar

import requests
import urllib3
from podman import PodmanClient
from podman.errors import APIError, ImageNotFound, PodmanError

from treadle_containers import (
    Address,
    ContainerEngine,
    ContainerSpec,
    ContainerState,
    EngineError,
    EngineUnreachable,
    FrameParser,
    ImageInfo,
    LogFile,
    NameTaken,
    NoSuchImage,
    Report,
    whole,
)
from treadle_podman.calls import NOT_FOUND, NOT_MODIFIED, handle, log_path, missing, remove_at_once, show
from treadle_podman.host import gone, is_here, is_monitored, open_first_process
from treadle_podman.logfile import copy_file
from treadle_podman.options import options_of
from treadle_podman.threads import in_thread

Answer = TypeVar("Answer")

_LINE_OVERHEAD = 48
"""Bytes that a line of one byte takes at the most in the log, with its time and its stream."""
_CHUNK = 64 * 1024
_RUNNING = frozenset({"running", "paused", "stopping"})
_OVER = ["exited", "stopped"]
_POLL = "250ms"
"""How often Podman looks whether a container runs, where its first process can't be watched."""
_UNNOTICED = 200
"""Looks at a running container that has neither a process nor a monitor, until it is given up."""
_BUSY = "resource busy"
_WHILE_BUSY = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between tries to remove a container of which something is still in use."""


class PodmanEngine(ContainerEngine):
    """A Podman service, at `url` or where CONTAINER_HOST or the usual sockets say."""

    name = "podman"

    def __init__(self, url: str | None = None) -> None:
        self._address = Address("Podman", "CONTAINER_HOST", Path("podman", "podman.sock"), url)
        self._made: PodmanClient | None = None

    def remedy(self) -> str:
        """Say what to do where there is no Podman."""
        return (
            "Install Podman and start its service (`systemctl --user start podman.socket`, or as root "
            "`systemctl start podman.socket`), or set CONTAINER_HOST to its socket"
        )

    async def version(self) -> str:
        """Return the version."""
        found = await self._call(lambda podman: podman.api.get("/version").json())
        return f"Podman {found['Version']} at {self._address.places()[0]}"

    async def create(self, spec: ContainerSpec) -> str:
        """Make a container."""

        def create(podman: PodmanClient) -> str:
            try:
                made = podman.containers.create(spec.image, list(spec.command) or None, **options_of(spec))
            except ImageNotFound as error:
                raise NoSuchImage(f"image {spec.image!r} is not on this host") from error
            except APIError as error:
                if "already in use" in _text(error):
                    raise NameTaken(_text(error)) from error
                raise
            return str(made.id)

        return await whole(self._call(create))

    async def prepare(self, container: str) -> None:
        """Have the container made by its OCI runtime; its program waits."""

        def prepare(podman: PodmanClient) -> None:
            answer = podman.api.post(f"/containers/{container}/init")
            if answer.status_code != NOT_MODIFIED:
                answer.raise_for_status()

        await whole(self._call(prepare))

    async def start(self, container: str) -> None:
        """Start a container."""
        await whole(self._call(lambda podman: handle(podman, container).start()))

    async def inspect(self, container: str) -> ContainerState | None:
        """Return a container."""
        found = await self._call(lambda podman: show(podman, container))
        return None if found is None else _state(found)

    async def wait(self, container: str) -> ContainerState | None:
        """Wait for a container's end: the kernel tells of its first process, whatever Podman's service does.

        Where that process can't be seen (a service on another machine), Podman looks from time to time.
        """
        while True:
            found = await self._call(lambda podman: show(podman, container))
            if found is None or not (state := _state(found)).running:
                return None if found is None else state
            if is_here(found):
                if (pidfd := open_first_process(found)) is not None:
                    try:
                        await gone(pidfd)
                    finally:
                        os.close(pidfd)
                return await self._after_its_end(container)
            await self._call(lambda podman: handle(podman, container).wait(condition=_OVER, interval=_POLL))

    async def _after_its_end(self, container: str) -> ContainerState | None:
        """Return a container whose process has gone, as soon as Podman has noticed.

        Asked at once, and again and again: later Podman is busy with cleaning up, and answers late.
        Where its monitor has been killed Podman will never notice: nobody knows how the container
        ended, and it is removed.
        """
        unnoticed = 0
        for pause in itertools.chain((0.001, 0.002, 0.005), itertools.repeat(0.01)):
            found = await self._call(lambda podman: show(podman, container))
            if found is None or not (state := _state(found)).running:
                return None if found is None else state
            unnoticed = 0 if is_monitored(found) else unnoticed + 1
            if unnoticed > _UNNOTICED:
                await self.remove(container)
                return None
            await asyncio.sleep(pause)
        raise AssertionError("there is always another pause")

    async def stop(self, container: str, grace: float) -> None:
        """Stop a container."""

        def stop(podman: PodmanClient) -> None:
            try:
                handle(podman, container).stop(timeout=max(0, round(grace)))
            except APIError as error:
                if error.status_code not in {NOT_FOUND, NOT_MODIFIED}:
                    raise

        await whole(self._call(stop))

    async def remove(self, container: str) -> None:
        """Remove a container, again and again for a while where Podman says that something of it is in use.

        What a killed service was about to mount may get in the way of the next one's removal
        (https://github.com/containers/podman/issues/11594); asked once more, Podman goes on with it.
        """
        for pause in _WHILE_BUSY:
            try:
                return await whole(self._call(lambda podman: remove_at_once(podman, container)))
            except EngineUnreachable:
                raise
            except EngineError as error:
                if _BUSY not in str(error):
                    raise
            await asyncio.sleep(pause)
        return await whole(self._call(lambda podman: remove_at_once(podman, container)))

    async def copy_log(self, container: str, into: Mapping[str, LogFile], follow: bool) -> None:
        """Copy the log: of an ended container its file, where that is on this host, else what Podman sends.

        podman-py does not tell the two streams apart, so the frames are read here.
        """

        def copy(podman: PodmanClient) -> None:
            if not follow and (path := log_path(podman, container)) and copy_file(path, into):
                return
            wanted = {"follow": follow, **{stream: stream in into for stream in ("stdout", "stderr")}}
            answer = podman.api.get(f"/containers/{container}/logs", params=wanted, stream=True)
            with closing(answer):
                if missing(answer):
                    return
                answer.raise_for_status()
                parser = FrameParser()
                while chunk := answer.raw.read1(_CHUNK):
                    for stream, printed in parser.feed(chunk).items():
                        into[stream].write(printed)
                    if any(each.full for each in into.values()):
                        return

        await self._call(copy)

    async def overflows(self, container: str, limit: int) -> bool:
        """Say whether the log file is larger than limit bytes can make it, each a line of its own."""

        def look(podman: PodmanClient) -> bool:
            path = log_path(podman, container)
            return path is not None and path.stat().st_size > 2 * limit * _LINE_OVERHEAD

        return await self._call(look)

    async def containers(self, label: str, value: str) -> list[ContainerState]:
        """Return the containers that have a label."""
        wanted = [f"label={label}={value}"]  # a mapping is understood by the client, and finds nothing

        def find(podman: PodmanClient) -> list[str]:
            return [str(each.id) for each in podman.containers.list(all=True, filters=wanted)]

        states = [await self.inspect(each) for each in await self._call(find)]
        return [state for state in states if state is not None]

    async def image(self, name: str) -> ImageInfo | None:
        """Return an image."""

        def find(podman: PodmanClient) -> ImageInfo | None:
            try:
                attributes = podman.images.get(name).attrs
            except ImageNotFound:
                return None
            return ImageInfo(attributes["Id"], attributes.get("User") or "")

        return await self._call(find)

    async def build(self, tag: str, context: IO[bytes], report: Report) -> None:
        """Build an image."""
        options = {"t": tag, "dockerfile": "Dockerfile", "pullpolicy": "never", "layers": "true"}
        await self._progress("/build", options, context, report)

    async def load(self, tag: str, archive: Path, report: Report) -> None:
        """Load an image and give it its name here."""

        def load(podman: PodmanClient) -> None:
            with archive.open("rb") as file:
                answer = podman.api.post(
                    "/images/load", data=file, headers={"Content-type": "application/x-tar"}
                )
            answer.raise_for_status()
            names = answer.json().get("Names") or []
            if not names:
                raise EngineError(f"{archive} holds no image")
            repository, _, version = tag.rpartition(":")
            podman.images.get(names[0]).tag(repository, version)

        report(f"loading {archive}")
        await self._call(load)

    async def pull(self, name: str, report: Report) -> None:
        """Fetch an image."""
        await self._progress("/images/pull", {"reference": name, "policy": "always"}, None, report)

    async def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.api.close()
            self._made = None

    async def _progress(
        self, path: str, options: Mapping[str, str], body: IO[bytes] | None, report: Report
    ) -> None:
        """Post something that takes a while, and report the lines that come back.

        Where nobody waits for it any more the connection is broken off, and Podman gives up as well.
        """
        loop = asyncio.get_running_loop()
        connections: list[HTTPConnection] = []

        def post(podman: PodmanClient) -> None:
            headers = {"Content-type": "application/x-tar"}
            answer = podman.api.post(path, params=dict(options), data=body, headers=headers, stream=True)
            answer.raise_for_status()
            connections.append(answer.raw.connection)
            for line in answer.iter_lines():
                told = json.loads(line)
                if told.get("error"):
                    raise EngineError(told["error"])
                if text := (told.get("stream") or "").strip():
                    loop.call_soon_threadsafe(report, text)

        try:
            await self._call(post)
        except asyncio.CancelledError:
            for connection in connections:
                connection.sock.shutdown(socket.SHUT_RDWR)
            raise

    async def _call(self, work: Callable[[PodmanClient], Answer]) -> Answer:
        """Do something with the client in a thread, and turn what goes wrong into what callers know."""

        def guarded() -> Answer:
            try:
                return work(self._client())
            except EngineError:
                raise
            except APIError as error:
                if error.response is None:
                    raise self._address.unreachable(_text(error)) from error
                raise EngineError(_text(error)) from error
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                raise self._address.unreachable(str(error)) from error
            except (PodmanError, ValueError) as error:
                raise EngineError(str(error)) from error

        return await in_thread(guarded)

    def _client(self) -> PodmanClient:
        if self._made is None:
            self._made = PodmanClient(base_url=self._address.places()[0])
        return self._made


def _state(found: Mapping[str, Any]) -> ContainerState:
    return ContainerState.of(found, running=found["State"]["Status"] in _RUNNING)


def _text(error: APIError) -> str:
    return error.explanation or str(error)
