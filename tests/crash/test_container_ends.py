"""Containers over a power cut: what ended while no engine looked, what still runs, and what was told before.

The spool is on a disk whose power is cut; the next engine runs under another boot id. The container engines
and their disks stay as they are. So what they know is whole here, and all the same it must not be believed:
on a real host a cut tears it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.scripts import script_project
from tests.acceptance.server import Server, eventually
from tests.crash.disk import Disk
from tests.engines import CONTAINERS, need
from tests.images import client

CUTS = int(os.environ.get("TREADLE_CONTAINER_CUTS", "1"))
"""How often the power is cut under load, for each container engine."""
SEED = int(os.environ.get("TREADLE_SEED", "0")) or random.randrange(1, 2**32)
_VALUE = 'echo PlanQK:Job:Result: \\"$(cat /proc/sys/kernel/random/uuid)\\"'
"""Prints another result with each run."""


class Machine:
    """A host with a spool on its disk: its power is cut, and it is started again, under another boot id."""

    def __init__(self, disk: Disk, folder: Path, engine: str, script: str) -> None:
        self.engine = engine
        self.disk = disk
        self._boot_id = folder / "boot_id"
        config = folder / "engine.toml"
        config.write_text(f"disk_reserve = 0\ngrace = 1\n[plugins.{engine}]\nstranger_grace = 600\n")
        project = script_project(folder / "project", engine, script)
        arguments = [str(project), "--config", str(config), "--jobs", "4"]
        self.server = Server(disk.root / uuid.uuid4().hex / "spool", arguments, log=folder / "serve.log")
        self.server.spool.parent.mkdir()
        self.boot()

    def boot(self) -> None:
        """Start the engine under a boot id that there never was."""
        self._boot_id.write_text(f"{uuid.uuid4()}\n")
        mount = 'mount --bind "$1" /proc/sys/kernel/random/boot_id && shift && exec "$@"'
        self.server.around = ["unshare", "--mount", "sh", "-c", mount, "sh", str(self._boot_id)]
        self.server.start()

    def lose_power(self) -> None:
        """Lose what is not on the disk, and end the engine; the container engine keeps the containers."""
        self.disk.lose_power()
        self.server.kill()

    def come_back(self) -> None:
        """Start again from what is on the disk."""
        self.disk.come_back()
        self.boot()

    def sync_something(self) -> None:
        """Sync a file that is nothing to us: the journal gets all names, and no other file's bytes."""
        with (self.disk.root / "somebody").open("wb") as file:
            file.write(b"else")
            os.fsync(file.fileno())

    def containers(self, *options: str) -> list[str]:
        """Return the ids of the spool's containers, as the container engine's own client shows them."""
        spool = json.loads((self.server.spool / "spool.json").read_bytes())["id"]
        command = [client(self.engine), "ps", *options, "-q", "--filter", f"label=treadle.spool={spool}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    def freeze(self) -> None:
        """Stop the engine where it is: it sees nothing any more."""
        assert self.server.process is not None
        os.kill(self.server.process.pid, signal.SIGSTOP)

    def remove(self) -> None:
        """Stop the engine, and leave nothing of the spool's containers."""
        if self.server.process is not None and self.server.process.poll() is None:
            self.server.kill()
        with suppress(OSError, ValueError, KeyError):
            for container in self.containers("-a"):
                command = [client(self.engine), "rm", "-f", container]
                subprocess.run(command, capture_output=True, check=False)


@pytest.fixture(params=CONTAINERS)
def machine(request, disk, tmp_path) -> Iterator[Callable[[str], Machine]]:
    need(request.param)
    machines: list[Machine] = []

    def make(script: str) -> Machine:
        machines.append(Machine(disk, tmp_path, request.param, script))
        return machines[-1]

    yield make
    for each in machines:
        each.remove()


def sync_everything(machine: Machine) -> None:
    machine.disk.sync()


def sync_nothing(_: Machine) -> None:
    pass


SYNCS = [sync_everything, Machine.sync_something, sync_nothing]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sync", SYNCS, ids=lambda each: each.__name__)
def test_an_end_that_nobody_saw_before_a_power_cut_does_not_count(machine, sync):
    host = machine(f"sleep 1; {_VALUE}")
    job = host.server.submit()
    eventually(host.containers, "the start of the container")
    host.freeze()
    eventually(lambda: not host.containers(), "the end of the container")
    (first,) = host.containers("-a")
    sync(host)
    host.lose_power()
    host.come_back()
    result = host.server.result(job)
    assert [each["reason"] for each in host.server.status(job)["attempts"]] == ["lost", "ended"]
    assert result in (host.server.spool / "done" / job / "stdout.log").read_text()
    shown = subprocess.run([client(host.engine), "inspect", first], capture_output=True, check=False)
    assert shown.returncode != 0  # removed by its attempt, and not by `tidy`
    eventually(lambda: not host.containers("-a"), "the removal of the last container")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sync", SYNCS, ids=lambda each: each.__name__)
def test_a_container_of_before_the_power_cut_is_not_alive_when_the_next_one_is(machine, sync):
    host = machine(f"cat /proc/uptime; sleep 2; {_VALUE}")
    job = host.server.submit()
    (first,) = eventually(host.containers, "the start of the container")
    host.freeze()
    sync(host)
    host.lose_power()
    host.come_back()
    eventually(lambda: host.containers() not in ([], [first]), "the next container")
    assert len(host.containers("-a")) == 1
    host.server.ended(job)
    assert [each["reason"] for each in host.server.status(job)["attempts"]] == ["lost", "ended"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("sync", SYNCS[:2], ids=lambda each: each.__name__)
def test_a_job_is_cancelled_after_a_power_cut(machine, sync):
    host = machine("sleep 600")
    job = host.server.submit()
    eventually(host.containers, "the start of the container")
    host.server.ask("PUT", f"/{job}/cancel")
    host.freeze()
    sync(host)
    host.lose_power()
    host.come_back()
    host.server.ask("PUT", f"/{job}/cancel")
    assert host.server.ended(job)["status"] == "CANCELLED"
    eventually(lambda: not host.containers(), "the end of every container")


class Client(threading.Thread):
    """Submits jobs, and remembers what it was told of them, whatever becomes of the server meanwhile."""

    def __init__(self, server: Server) -> None:
        super().__init__(daemon=True)
        self._server = server
        self.accepted: set[str] = set()
        self.told: dict[str, set[bytes]] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.wait(0.02):
            with suppress(OSError, ValueError, KeyError):  # no server, or it is ended within its response
                if len(self.accepted) - len(self.told) < 4:
                    answer = self._server.ask("POST", "/", b"{}")
                    if answer.status == 201:
                        self.accepted.add(answer.json["id"])
                for job in self.accepted:
                    self._look(job)

    def _look(self, job: str) -> None:
        status = self._server.ask("GET", f"/{job}")
        if status.status == 200 and status.json["status"] in {"SUCCEEDED", "FAILED"}:
            result = self._server.ask("GET", f"/{job}/result")
            if result.status == 200:
                self.told.setdefault(job, set()).add(result.body)


def is_whole(done: Path) -> bool:
    """Return whether an ended job has a result that a run of its program printed, or was lost each time.

    The log of an ended job is not durable, so it is not looked at.
    """
    status: dict[str, Any] = json.loads((done / "status.json").read_bytes())
    reasons = [each["reason"] for each in status["attempts"]]
    if status["status"] == "FAILED":
        return set(reasons) == {"lost"} and len(reasons) == 2
    value = uuid.UUID(json.loads((done / "result.json").read_bytes()))
    return value.version == 4 and reasons in (["ended"], ["lost", "ended"])


@pytest.mark.timeout(120 + 15 * CUTS)
def test_what_was_told_before_a_power_cut_is_never_another_value(machine):
    print(f"TREADLE_SEED={SEED}")  # noqa: T201  # pytest shows it when the test fails
    choose = random.Random(SEED)
    host = machine(f"sleep 0.2; {_VALUE}")
    clients = Client(host.server)
    clients.start()
    for _ in range(CUTS):
        time.sleep(choose.uniform(0.5, 3))
        if choose.random() < 0.5:
            host.freeze()
            time.sleep(choose.uniform(0.0, 0.5))
            host.sync_something()
        host.lose_power()
        host.come_back()
    time.sleep(1)
    clients.enough.set()
    clients.join()
    done = host.server.spool / "done"
    for job in clients.accepted:
        eventually((done / job).exists, f"the end of {job}")
    assert len(clients.accepted) > CUTS
    assert [job for job in clients.accepted if not is_whole(done / job)] == []
    kept = {job: {(done / job / "result.json").read_bytes()} for job in clients.told}
    assert clients.told == kept
    eventually(lambda: not host.containers(), "the end of every container")
