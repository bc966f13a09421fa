"""Other engines, each as its documentation starts it, in a virtual environment of its own.

They are test tools: nothing of Treadle depends on them.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.bench.client import Client
from tests.bench.measure import Lane, LaneFailed
from tests.bench.places import Places
from tests.bench.venvs import make_venv

_VERSION = re.compile(r"[\w. =-]*?[\d.]{3,}|.*")
_PEERS = Path(__file__).with_name("peers")
_PACKAGES = {"huey": ["huey"], "celery": ["celery", "redis", "rq", "packaging"], "qhub-serve": ["qhub-serve"]}


@dataclass(frozen=True, slots=True)
class Peer:
    """A way to run jobs, and what it promises."""

    name: str
    fresh: bool
    """Whether every job has a new process."""
    durable: bool
    """Whether an accepted job survives a power cut."""
    restart: bool
    """Whether a waiting job survives a restart of the engine."""


@dataclass
class DriverLane:
    """A peer whose client is one of the scripts in peers/."""

    name: str
    process: asyncio.subprocess.Process
    errors: Path
    at_a_time: int | None = None
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    waiting: dict[int, asyncio.Future[object]] = field(default_factory=dict)

    async def run(self, data: dict[str, object]) -> object:
        """Hand a job to the client and return its result."""
        number = next(self.numbers)
        result = self.waiting[number] = asyncio.get_running_loop().create_future()
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([number, data]).encode() + b"\n")
        return await result

    async def listen(self) -> None:
        """Pass results on until the client goes."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            number, result = json.loads(line)
            self.waiting.pop(number).set_result(result)
        for each in self.waiting.values():
            said = self.errors.read_text("utf-8", "replace").strip().rpartition("\n")[2]
            each.set_exception(LaneFailed(f"its client said: {said}"))


@dataclass
class HttpLane:
    """qhub-serve: the hosted platform's local imitation, polled as its client polls, but faster."""

    name: str
    client: Client
    at_a_time: int | None = 2

    async def run(self, data: dict[str, object]) -> object:
        """Submit a job, poll for its end every 5 ms, and return its result."""
        body = json.dumps({"data": data, "params": {}}).encode()
        job = (await self.client.ask("POST", "/", body)).json["id"]
        while True:
            answer = await self.client.ask("GET", f"/{job}")
            if answer.status == HTTPStatus.OK and answer.json["status"] in {"SUCCEEDED", "FAILED"}:
                break
            await asyncio.sleep(0.005)
        result = await self.client.ask("GET", f"/{job}/result")
        return {"sum": result.json.get("sum")}  # it adds links of its own


@dataclass
class TaskSpoolerLane:
    """task-spooler: one command submits, another waits, a file has the output."""

    name: str
    project: Path
    environment: dict[str, str]
    at_a_time: int | None = 8

    async def run(self, data: dict[str, object]) -> object:
        """Queue a Python process and return what it prints."""
        code = "import json, sys; from src.program import run; "
        code += "print(json.dumps(run(json.loads(sys.argv[1]), {})))"
        job = await self.tsp(sys.executable, "-c", code, json.dumps(data))
        await self.tsp("-w", job)
        output = await self.tsp("-o", job)
        return json.loads(await asyncio.to_thread(Path(output).read_text))

    async def tsp(self, *arguments: str) -> str:
        """Call task-spooler and return what it says."""
        return await _said("tsp", *arguments, cwd=self.project, env=self.environment)


class FloorLane:
    """No engine at all: a fork for each job, and the fsyncs that the promise needs, in a bare loop."""

    name = "floor: fork + 6 fsyncs"
    at_a_time: int | None = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        for name in ("queue", "done"):
            (folder / name).mkdir(parents=True)

    async def run(self, data: dict[str, object]) -> object:
        """Do what accept, run and finish can't do without."""
        return self._run(data)

    def _run(self, data: dict[str, object]) -> object:
        name = str(next(self._numbers))
        queued, done = self._folder / "queue" / name, self._folder / "done" / name
        _write(queued, json.dumps(data).encode())
        _sync(queued.parent)
        done.mkdir()
        if (child := os.fork()) == 0:
            values = json.loads(queued.read_bytes())["values"]
            _write(done / "result", json.dumps({"sum": sum(values)}).encode())
            os._exit(0)
        os.waitpid(child, 0)
        _write(done / "status", b"{}")
        _sync(done)
        _sync(done.parent)
        queued.unlink()
        return json.loads((done / "result").read_bytes())


class InterpreterLane:
    """No job at all: what starting an interpreter costs that imports nothing."""

    name = "floor: python -I -c pass"
    at_a_time: int | None = 2

    async def run(self, data: dict[str, Any]) -> object:
        """Start one, wait for its end, and do the job here."""
        process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", "pass")
        await process.wait()
        return {"sum": sum(data["values"])}


class RenameLane:
    """No process at all: what it costs to put one file down durably."""

    name = "floor: fsync + rename"
    at_a_time: int | None = 1

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count()
        folder.mkdir(parents=True)

    async def run(self, data: dict[str, Any]) -> object:
        """Write the result, durably, and do the job here."""
        result = {"sum": sum(data["values"])}
        draft = self._folder / f".{next(self._numbers)}"
        _write(draft, json.dumps(result).encode())
        draft.rename(self._folder / draft.name[1:])
        _sync(self._folder)
        return result


def _write(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(fd, content)
    os.fsync(fd)
    os.close(fd)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


PEERS = (
    Peer("treadle", fresh=True, durable=True, restart=True),
    Peer("floor: fork + 6 fsyncs", fresh=True, durable=True, restart=False),
    Peer("floor: python -I -c pass", fresh=True, durable=False, restart=False),
    Peer("floor: fsync + rename", fresh=False, durable=True, restart=True),
    Peer("qhub-serve", fresh=False, durable=False, restart=False),
    Peer("huey, files", fresh=False, durable=False, restart=True),
    Peer("celery, files", fresh=False, durable=False, restart=True),
    Peer("celery, redis", fresh=False, durable=False, restart=True),
    Peer("celery, redis, fresh workers", fresh=True, durable=False, restart=True),
    Peer("rq, redis", fresh=True, durable=False, restart=True),
    Peer("task-spooler", fresh=True, durable=False, restart=False),
)


def promises() -> str:
    """Return what each promises, as a table."""
    lines = [f"{'':<36} {'fresh process':>14} {'durable accept':>15} {'survives a restart':>19}"]
    for peer in PEERS:
        fresh, durable, restart = (
            "yes" if each else "no" for each in (peer.fresh, peer.durable, peer.restart)
        )
        lines.append(f"  {peer.name:<34} {fresh:>14} {durable:>15} {restart:>19}")
    return "\n".join(lines)


class Peers:
    """Installs and starts peers, from `async with` to its end; one that can't be had is told and left out."""

    def __init__(self, places: Places, project: Path, tell: Callable[[str], None]) -> None:
        self._places = places
        self._folder = places.new("peers")
        self._project = project
        self._tell = tell
        self._stack = AsyncExitStack()
        self.versions: list[str] = []
        """Of what is measured, once it has been entered."""

    async def __aenter__(self) -> list[Lane]:
        self._folder.mkdir()
        self.versions.append(f"treadle {version('treadle')}")
        lanes: list[Lane] = [FloorLane(self._places.new("floor")), InterpreterLane()]
        lanes.append(RenameLane(self._places.new("rename")))
        for names, start in (
            (("qhub-serve",), self._qhub),
            (("huey, files",), self._huey),
            (("celery, files",), self._celery_files),
            (("celery, redis", "celery, redis, fresh workers", "rq, redis"), self._redis),
            (("task-spooler",), self._task_spooler),
        ):
            try:
                lanes += await start()
            except (OSError, RuntimeError) as error:
                self._tell(f"{', '.join(names)}: not measured: {error}")
        return lanes

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _qhub(self) -> Sequence[Lane]:
        venv = await self._venv("qhub-serve")
        port = _free_port()
        await self._start(venv / "bin" / "qhub-serve", "--workspace", self._project, "--port", str(port))
        await _until(lambda: _listens(port))
        client = Client("127.0.0.1", port)
        self._stack.callback(client.close)
        await _until(lambda: _answers(client))
        return [HttpLane("qhub-serve", client)]

    async def _huey(self) -> Sequence[Lane]:
        venv = await self._venv("huey")
        peer = {"PEER_FOLDER": str(self._places.new("huey"))}
        consumer = venv / "bin" / "huey_consumer"
        await self._start(consumer, "huey_peer.huey", "-w", "2", "-k", "process", "-d", "0.002", **peer)
        return [await self._driver("huey, files", venv, "huey_peer.py", **peer)]

    async def _celery_files(self) -> Sequence[Lane]:
        venv = await self._venv("celery")
        peer = {"PEER_FOLDER": str(self._places.new("celery"))}
        await self._worker(venv, **peer)
        return [await self._driver("celery, files", venv, "celery_peer.py", **peer)]

    async def _redis(self) -> Sequence[Lane]:
        if shutil.which("redis-server") is None:
            raise RuntimeError("there is no redis-server on this host")
        venv = await self._venv("celery")
        self.versions.append(await _version("redis-server", "--version"))
        port = _free_port()
        await self._start("redis-server", "--port", str(port), "--save", "", "--dir", self._folder)
        await _until(lambda: _listens(port))
        peers = [
            {"PEER_FOLDER": str(self._folder), "PEER_REDIS": f"redis://127.0.0.1:{port}/{number}"}
            for number in range(3)
        ]
        await self._worker(venv, **peers[0])
        await self._worker(venv, "--max-tasks-per-child", "1", **peers[1])
        for _ in range(2):
            await self._start(venv / "bin" / "rq", "worker", "--url", peers[2]["PEER_REDIS"], **peers[2])
        return [
            await self._driver("celery, redis", venv, "celery_peer.py", **peers[0]),
            await self._driver("celery, redis, fresh workers", venv, "celery_peer.py", **peers[1]),
            await self._driver("rq, redis", venv, "rq_peer.py", **peers[2]),
        ]

    async def _task_spooler(self) -> Sequence[Lane]:
        if shutil.which("tsp") is None:
            raise RuntimeError("there is no tsp on this host (Debian: task-spooler)")
        self.versions.append(await _version("tsp", "-V"))
        folder = self._places.new("tsp")
        folder.mkdir()
        environment = {
            **os.environ,
            "TS_SOCKET": str(folder / "socket"),
            "TS_SLOTS": "2",
            "TMPDIR": str(folder),
        }
        lane = TaskSpoolerLane("task-spooler", self._project, environment)
        server = await asyncio.create_subprocess_exec(  # it keeps the output of its parent open
            "tsp", "-S", "2", env=environment, stdout=asyncio.subprocess.DEVNULL
        )
        await server.wait()
        self._stack.push_async_callback(lane.tsp, "-K")
        return [lane]

    async def _worker(self, venv: Path, *options: str, **peer: str) -> None:
        name = f"w{_free_port()}@localhost"
        command = (venv / "bin" / "celery", "-A", "celery_peer", "worker", "-c", "2", "-n", name, *options)
        await self._start(*command, **peer)

    async def _driver(self, name: str, venv: Path, script: str, **peer: str) -> DriverLane:
        process = await self._start(venv / "bin" / "python", script, **peer)
        lane = DriverLane(name, process, self._errors(script))
        listening = asyncio.create_task(lane.listen())
        self._stack.callback(listening.cancel)
        async with asyncio.timeout(60):  # the first job comes when its workers are ready
            await lane.run({"values": [1]})
        return lane

    async def _start(self, *command: str | Path, **peer: str) -> asyncio.subprocess.Process:
        running = _running([str(each) for each in command], peer, self._errors(str(command[1])))
        return await self._stack.enter_async_context(running)

    def _errors(self, program: str) -> Path:
        return self._folder / f"{program.replace('/', '-')}.log"

    async def _venv(self, name: str) -> Path:
        packages = _PACKAGES[name]
        venv = await make_venv(self._folder / f"venv-{name}", *packages)
        for package in packages:
            ask = f"from importlib.metadata import version; print({package!r}, version({package!r}))"
            said = await _version(venv / "bin" / "python", "-c", ask)
            if said not in self.versions:
                self.versions.append(said)
        return venv


async def _said(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    """Call a command and return what it says."""
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, env=env, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    return said.decode().strip()


async def _version(*command: str | Path) -> str:
    """Return the beginning of what a command says: a name and a version."""
    found = _VERSION.match(await _said(*command))
    assert found is not None  # it matches anything
    return found[0]


@asynccontextmanager
async def _running(
    command: list[str], peer: dict[str, str], errors: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    with errors.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=_PEERS,
            env={
                **os.environ,
                **peer,
                "PYTHONPATH": str(_PEERS),
                "C_FORCE_ROOT": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE if "_peer.py" in command[1] else asyncio.subprocess.DEVNULL,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _answers(client: Client) -> bool:
    return (await client.ask("GET", "/")).status < HTTPStatus.INTERNAL_SERVER_ERROR


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110  # another program's readiness can only be asked for
            await asyncio.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
