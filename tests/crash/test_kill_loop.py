"""Kills at random moments, under load: of the engine, and now and then of what waits for its jobs.

Clients submit, poll, cancel and read results meanwhile. Afterwards `history.py` says what went wrong.
"""

from __future__ import annotations

import json
import os
import random
import threading
import time
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import psutil
import pytest

from tests.acceptance.server import Server, eventually
from tests.crash.history import ENDED, RECORDING, History, Told, violations
from tests.engines import CONTAINERS, why_not
from tests.images import IMAGE
from tests.processes import kill_supervisor

ROUNDS = int(os.environ.get("TREADLE_KILL_ROUNDS", "4"))
"""How often the engine is killed."""
SEED = int(os.environ.get("TREADLE_SEED", "0")) or random.randrange(1, 2**32)
OUTSTANDING = 10
"""How many jobs are owed at most."""
_PROGRAM = RECORDING + "    return data\n"
_SCRIPT = """
me=$(cat /proc/sys/kernel/random/uuid)
beat() { echo beat $me $(cut -d' ' -f1 /proc/uptime) $1; usleep 20000; }
beat begin; for i in 1 2 3 4 5; do beat beat; done; beat end
echo "PlanQK:Job:Result: $(cat /var/input/data.json)"
"""


class Client(threading.Thread):
    """Submits, polls, cancels and reads, whatever becomes of the server meanwhile."""

    def __init__(self, server: Server, bases: list[str], records: Path, history: History, seed: int) -> None:
        super().__init__(daemon=True)
        self._server = server
        self._bases = bases
        self._records = records
        self._history = history
        self._random = random.Random(seed)
        self._open: dict[str, str] = {}
        self._ended: dict[str, str] = {}
        self._number = 0
        self.enough = threading.Event()
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                with suppress(OSError, HTTPException):  # no server, or one that was killed within its answer
                    self._act()
                time.sleep(0.01)
        except BaseException as error:  # told by the main thread
            self.failure = error
            raise

    def _act(self) -> None:
        if len(self._open) < OUTSTANDING:
            self._submit()
        for job, base in list(self._open.items()):
            self._look(job, base)
        if self._ended:  # what was told once must stay as it is
            self._look(*self._random.choice(list(self._ended.items())))

    def _submit(self) -> None:
        self._number += 1
        data = {"n": self._number, "records": str(self._records), "beats": self._random.randrange(20)}
        base = self._random.choice(self._bases)
        answer = self._server.ask("POST", base, json.dumps({"data": data}).encode())
        if answer.status == 503:
            return
        assert answer.status == 201, answer
        job = answer.json["id"]
        self._history.accepted[job] = data
        self._open[job] = base
        if self._random.random() < 0.05:
            self._history.cancelled.add(job)
            self._server.ask("PUT", f"{base}/{job}/cancel")

    def _look(self, job: str, base: str) -> None:
        answer = self._server.ask("GET", f"{base}/{job}")
        assert answer.status in {200, 503}, f"{job} was accepted: {answer}"
        if answer.status == 503 or answer.json["status"] not in ENDED:
            return
        result = None
        if answer.json["status"] != "CANCELLED":
            found = self._server.ask("GET", f"{base}/{job}/result")
            assert found.status == 200, found
            result = found.body
        self._history.told.append(Told(job, answer.json["status"], result))
        self._open.pop(job, None)
        self._ended[job] = base


def projects(folder: Path) -> list[Path]:
    """Make one service for each runtime that works here."""
    python = folder / "python"
    (python / "src").mkdir(parents=True)
    (python / "src" / "program.py").write_text(_PROGRAM)
    (python / "treadle.toml").write_text('name = "python"\n')
    made = [python]
    for engine in CONTAINERS:
        if os.environ.get("TREADLE_REQUIRE_ENGINES") == "1" or why_not(engine) is None:
            (folder / engine).mkdir()
            command = json.dumps(["/bin/sh", "-c", _SCRIPT])
            (folder / engine / "treadle.toml").write_text(
                f'name = "{engine}"\nruntime = "{engine}"\nimage = "{IMAGE}"\ncommand = {command}\n'
                "concurrency = 2\n"
            )
            made.append(folder / engine)
    return made


def strike(spool: Path, choose: random.Random, history: History) -> None:
    """Kill what waits for one of the running jobs: a supervisor, or the monitor of a container."""
    runs = list((spool / "run").iterdir())
    if not runs:
        return
    folder = choose.choice(runs)
    history.struck.add(folder.name)
    with suppress(OSError, KeyError, ValueError, psutil.Error):
        if (folder / "process.json").exists():
            kill_supervisor(folder, wait=False)
        elif (folder / "container.json").exists():
            container = json.loads((folder / "container.json").read_bytes())["id"]
            for process in psutil.process_iter(["name", "cmdline"]):
                waits = str(process.info["name"]).startswith(("conmon", "containerd-shim"))
                if waits and container in (process.info["cmdline"] or []):
                    process.kill()


@pytest.mark.timeout(120 + 8 * ROUNDS)
def test_no_job_is_lost_or_run_twice_by_a_kill(serve, tmp_path):
    print(f"TREADLE_SEED={SEED}")  # noqa: T201  # pytest shows it when the test fails
    choose = random.Random(SEED)
    services = projects(tmp_path / "services")
    config = tmp_path / "engine.toml"
    config.write_text(
        "tidy = 1\n[plugins.docker]\nstranger_grace = 1\n[plugins.podman]\nstranger_grace = 1\n"
    )
    (records := tmp_path / "records").mkdir()
    bases = [f"/services/{path.name}" for path in services]
    history = History()
    server = serve(*services, "--config", config, "--jobs", "4")
    clients = [Client(server, bases, records, history, choose.random()) for _ in range(2)]
    for client in clients:
        client.start()
    for _ in range(ROUNDS):
        time.sleep(choose.uniform(0.0, 1.0))
        if choose.random() < 0.3:
            strike(server.spool, choose, history)
        server.kill()
        if choose.random() < 0.2:
            strike(server.spool, choose, history)
        server.start()
    for client in clients:
        client.enough.set()
        client.join()
        assert client.failure is None
    for job in history.accepted:
        eventually((server.spool / "done" / job).exists, f"the end of {job}")
    eventually(lambda: not list((server.spool / "queue").iterdir()), "the last unlink in queue/")
    server.stop()
    assert len(history.accepted) > ROUNDS
    assert list(violations(history, server.spool, records)) == []
