"""What an earlier version has left: its spool, and the processes that its engine would have started."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from tests.acceptance.server import TIMEOUT, eventually

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "spool-v1.tar.gz"

_MAIN = """import sys
sys.path[0] = sys.argv.pop(1)
from treadle_inside.{} import main
del sys.path[0]
main()
"""
"""What the old engine gave an interpreter to run."""
_STARTED, _PLAIN = b"s", b"p"
"""What the old fork server answers: the program is started; this host has no PID namespaces for it."""
_BOOT = "00000000-0000-4000-8000-000000000000"
"""The boot under which the archive was made, as the supervisors' process.json has it."""


class OldVersion:
    """What the archive holds (tests/fixtures/make_spool_v1.py), unpacked into a folder of the test's own."""

    def __init__(self, folder: Path) -> None:
        subprocess.run(["tar", "-xzf", ARCHIVE, "-C", folder, "--no-same-owner"], check=True)
        self.folder = folder
        self.spool = folder / "spool"
        # An id of its own, as each spool has: an attempt's processes are found by it, on the whole host.
        (self.spool / "spool.json").write_text(json.dumps({"format": 1, "id": str(uuid4())}))
        self.projects = folder / "project"
        remembered = json.loads((folder / "remembered.json").read_bytes())
        self.jobs: dict[str, str] = remembered["jobs"]
        """The ids of the jobs that were submitted over HTTP."""
        self.answers: dict[str, tuple[int, str]] = remembered["answers"]
        """The status and the body of what was answered then, by path."""

    def made_under_this_boot(self) -> None:
        """Have the old version's attempts be of this boot: what was recorded without a sync counts."""
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        for process in (self.spool / "run").glob("*/process.json"):
            process.write_text(process.read_text().replace(_BOOT, boot))

    def claim(self, job: str, data: dict[str, Any]) -> None:
        """Accept a job of the project `service` and claim it: its attempt has no process yet."""
        now = datetime.now(UTC).isoformat()
        queued, folder = self.spool / "queue" / f"{job}.json", self.spool / "run" / job
        queued.write_text(json.dumps({"service": "service", "created": now, "data": data}))
        folder.mkdir()
        os.link(queued, folder / "job.json")
        live = json.loads((self.spool / "run" / "never-begun" / "attempt.json").read_bytes())
        live["attempt"]["started"] = now
        (folder / "attempt.json").write_text(json.dumps(live))

    def begin(self, how: str, project: Path, job: str, data: dict[str, Any]) -> None:
        """Have a job run, as the old engine did, which is killed then."""
        self.claim(job, data)
        _WAYS[how](self, project, job)
        assert (self.spool / "run" / job / "process.json").exists()

    def supervisor(self, job: str) -> int:
        """Return the pid of the process that keeps the job's attempt."""
        return int(json.loads((self.spool / "run" / job / "process.json").read_bytes())["pid"])

    def processes(self) -> list[psutil.Process]:
        """Return what is alive of the old version's: supervisors, their programs, fork servers."""
        processes = psutil.process_iter(["cmdline"])
        return [each for each in processes if str(self.folder) in (each.info["cmdline"] or ())]

    def no_process_is_left(self) -> bool:
        return eventually(lambda: not self.processes(), "the end of what the old version has started")

    def end_processes(self) -> None:
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):  # it goes with another one
                process.kill()
        self.no_process_is_left()

    def start(self, project: Path, job: str, contain: str = "auto") -> None:
        """Give the old starter its request; it ends once it has forked a supervisor."""
        request = self._request(project, job, contain)
        with (self.spool / "run" / job / "stderr.log").open("ab") as stderr:
            subprocess.run(
                self._interpreter("starter"),
                input=json.dumps(request).encode(),
                env={"PATH": os.defpath, **request["environment"]},
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                start_new_session=True,
                check=True,
                timeout=TIMEOUT,
            )

    def fork(self, project: Path, job: str) -> None:
        """Make an old fork server and ask it to start the job; skip where it can't."""
        name = f"treadle/{uuid4().hex}"
        setup = {"name": name, "contain": "auto", "preload": [], "project": str(project), "idle": 2.0}
        made = subprocess.run(
            self._interpreter("forkserver"),
            input=json.dumps(setup).encode(),
            env={"PATH": os.defpath},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            check=True,
            timeout=TIMEOUT,
        )
        assert json.loads(made.stdout) == {"ready": True, "problem": None}
        with _connect(name) as lease, _connect(name) as line:
            lease.send(b"lease")
            line.send(json.dumps(self._request(project, job, "auto")).encode())
            answer = line.recv(1024)
        if answer == _PLAIN:
            pytest.skip("this host does not permit PID namespaces")
        assert answer == _STARTED

    def _interpreter(self, module: str) -> list[str]:
        return [sys.executable, "-s", "-c", _MAIN.format(module), str(self.folder)]

    def _request(self, project: Path, job: str, contain: str) -> dict[str, Any]:
        spool_id = json.loads((self.spool / "spool.json").read_bytes())["id"]
        return {
            "folder": str(self.spool / "run" / job),
            "place": str(self.spool / "tmp"),
            "project": str(project),
            "entrypoint": "src.program:run",
            "contain": contain,
            "output_limit": 1024**3,
            "environment": {
                "TREADLE_JOB_ID": job,
                "TREADLE_SERVICE": "service",
                "TREADLE_ATTEMPT": f"{spool_id}/{job}/1",
            },
        }


def _connect(name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.settimeout(TIMEOUT)
    connection.connect(b"\0" + name.encode())
    return connection


_WAYS: dict[str, Callable[[OldVersion, Path, str], None]] = {
    "starter": OldVersion.start,
    "starter without namespaces": lambda old, project, job: old.start(project, job, "subreaper"),
    "fork server": OldVersion.fork,
}
WAYS = tuple(_WAYS)
"""The ways in which the old engine has started attempts."""
