"""A real server in its own process, spoken to by HTTP and files only."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.leftovers import remove_containers
from tests.processes import kill_supervisor
from treadle.testing import eventually

TREADLE = Path(sys.executable).with_name("treadle")
EXAMPLES = Path(__file__).parents[2] / "contrib" / "examples"
TIMEOUT = 30.0
"""Seconds that a response, or the end of a server, may take on a slow machine before the test fails."""


@dataclass
class Answer:
    """An HTTP answer, whatever its status."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """`treadle serve` in a process of its own."""

    spool: Path
    arguments: list[str]
    url: str = ""
    process: subprocess.Popen[str] | None = None
    log: Path = field(default_factory=Path)
    """Beside the spool, unless another place is given."""
    around: list[str] = field(default_factory=list)
    """A command that starts the one that follows it, such as `unshare --mount`."""

    def start(self) -> Server:
        self.log = self.log if self.log.name else self.spool.with_name("serve.log")
        command = [
            *self.around,
            str(TREADLE),
            "serve",
            "--spool",
            str(self.spool),
            "--port",
            "0",
            *self.arguments,
        ]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        try:
            line = next((line for line in self.process.stdout if "http://" in line), "")
        except BaseException:  # the test's time is over
            self.kill()
            raise
        if not line:
            self.reap()
            raise AssertionError(f"treadle serve did not start: {self.log.read_text()}")
        self.url = "http://" + line.split("http://")[1].split()[0].rstrip("/")
        return self

    def kill(self) -> None:
        """Take the engine away without a warning."""
        assert self.process is not None
        self.process.kill()
        self.reap()

    def stop(self) -> int:
        """Ask it to stop, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.reap()

    def end_programs(self) -> None:
        """Kill what still runs of the spool's jobs: they outlive their engine, not the test."""
        for folder in (self.spool / "run").glob("*"):  # nothing, if it has never made its spool
            kill_supervisor(folder)
        with suppress(OSError, ValueError):  # a test may have spoiled it
            remove_containers(json.loads((self.spool / "spool.json").read_bytes())["id"])

    def reap(self) -> int:
        """Wait for its end and return its exit code; kill one that does not end, and fail."""
        assert self.process is not None
        assert self.process.stdout is not None
        try:
            return self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(
                f"treadle serve did not end within {TIMEOUT:g} s: {self.log.read_text()}"
            ) from None
        finally:
            self.process.stdout.close()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def submit(self, data: Any = None, params: Any = None, base: str = "") -> str:
        """Submit a job and return its id."""
        answer = self.ask(
            "POST", base or "/", json.dumps({"data": data or {}, "params": params or {}}).encode()
        )
        assert answer.status == 201, answer.body
        return str(answer.json["id"])

    def ended(self, job: str, base: str = "") -> dict[str, Any]:
        """Return the job as soon as it has ended."""

        def look() -> dict[str, Any] | None:
            found = self.ask("GET", f"{base}/{job}?wait=20").json
            return found if found["status"] in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

        return eventually(look, f"the end of job {job}")

    def status(self, job: str) -> dict[str, Any]:
        """Return what status.json says of an ended job."""
        status: dict[str, Any] = json.loads((self.spool / "done" / job / "status.json").read_bytes())
        return status

    def result(self, job: str, base: str = "") -> Any:
        """Return the result of a job, as soon as it has ended."""
        self.ended(job, base)
        answer = self.ask("GET", f"{base}/{job}/result")
        assert answer.status == 200, answer.body
        return answer.json

    def drop(self, name: str, content: bytes) -> None:
        """Drop a file as a careful writer does."""
        draft = self.spool / "drop" / f".{name}"
        draft.write_bytes(content)
        draft.rename(self.spool / "drop" / name)

    def dropped(self, name: str) -> Path:
        """Return done/<name> once the dropped job has ended."""
        done = self.spool / "done" / name
        return eventually(lambda: done if done.exists() else None, f"done/{name}")
