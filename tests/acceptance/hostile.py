"""Programs that damage the folder of their own job, as a Python function and as a command.

A deed is a few lines of Python in a job's data. It finds `folder` (its job's folder), `spool`, `secret` (a
file outside of the spool), `replace`, and some modules. Programs are contained by subreaper: where
there are namespaces they don't see these folders.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.acceptance.server import TREADLE, Server
from treadle.testing import eventually

SECRET = "the content of a file that is no business of a job"

_HELPERS = """
import errno, json, os, shutil, signal, socket, subprocess, sys, time
from pathlib import Path

folder = {folder}
spool, secret = folder.parent.parent, Path({secret!r})

def gone(path):
    path = Path(path)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

def replace(name, by):
    path = folder / name
    while True:  # the supervisor may make a log in between, and the engine attempt.json
        try:
            gone(path)
            return put(path, name, by)
        except (FileExistsError, FileNotFoundError, NotADirectoryError):
            pass

def put(path, name, by):
    if by == "fifo":
        os.mkfifo(path)
    elif by == "socket":
        os.chdir(folder)
        socket.socket(socket.AF_UNIX).bind(".socket")
        os.rename(".socket", name)
        os.chdir("/")
    elif by == "folder":
        path.mkdir()
        (path / "inside").touch()
    elif by == "locked":
        path.touch()
        path.chmod(0)
    elif by == "zeros":
        path.symlink_to("/dev/zero")
    elif by == "itself":
        path.symlink_to(path)
    elif by == "secret":
        path.symlink_to(secret)
    elif by == "hard":
        os.link(secret, path)
    elif by == "sparse":
        path.touch()
        os.truncate(path, 10 * 1024 ** 3)
    elif by == "garbage":
        path.write_bytes(b"\\xff{{")
    else:
        raise AssertionError(by)

def act(data):
    # Leave the pid beside the mark, do the deed, make the mark, and live on for a while.
    mark = Path(data["mark"])
    with mark.with_suffix(".begun").open("a") as file:
        file.write(f"{{os.getpid()}}\\n")
    exec(data["deed"], globals())
    mark.touch()
    for _ in range(int(data["naps"] * 20)):
        time.sleep(0.05)
    print("done", flush=True)
"""

_FUNCTION = """
def run(data):
    act(data)
    return {"returned": 1}
"""

_COMMAND = """
act(json.loads((folder / "input" / "data.json").read_bytes()))
print("PlanQK:Job:Result: 1", flush=True)
"""

_FOLDERS = {
    "python": 'Path.cwd().parent.parent / "run" / os.environ["TREADLE_JOB_ID"]',
    "command": 'Path(os.environ["INPUT_DIRECTORY"]).parent',
}
PROGRAMS = tuple(_FOLDERS)


def hostile_project(path: Path, program: str, secret: Path) -> Path:
    """Write a service whose jobs do the `deed` in their data, and live for `naps` seconds after it."""
    path.mkdir(parents=True)
    helpers = _HELPERS.format(folder=_FOLDERS[program], secret=str(secret))
    toml = f'name = "{program}"\n'
    if program == "python":
        (path / "src").mkdir()
        (path / "src" / "__init__.py").touch()
        (path / "src" / "program.py").write_text(helpers + _FUNCTION)
    else:
        script = path / "run.py"
        script.write_text(f"#!{sys.executable}\n" + helpers + _COMMAND)
        script.chmod(0o755)
        toml += 'program = "command"\ncommand = ["./run.py"]\n'
    (path / "treadle.toml").write_text(toml)
    return path


class Hostile:
    """A server without namespaces whose one service does what its jobs say."""

    grace = 0.3

    def __init__(self, serve: Callable[..., Server], folder: Path, program: str, jobs: int = 4) -> None:
        self.secret = folder / "secret"
        self.secret.write_text(SECRET)
        self.server: Server
        self._serve = serve
        self._folder = folder
        self._marks = folder / "marks"
        self._marks.mkdir()
        self._number = 0
        config = folder / "engine.toml"
        config.write_text('[plugins.python-template]\ncontain = "subreaper"\n')
        project = hostile_project(folder / program, program, self.secret)
        self._arguments = (project, "--config", config, "--jobs", jobs, "--grace", self.grace)
        self.start()

    def start(self) -> None:
        """Start a server, after another one was killed."""
        self.server = self._serve(*self._arguments)

    def clear(self) -> None:
        """Remove what pytest can't remove: folders that are too deep for it."""
        for place in ("run", "done", "tmp"):
            subprocess.run(["rm", "-rf", self.server.spool / place], check=True)

    def submit(self, deed: str, naps: float = 0.0, **fields: Any) -> Job:
        """Submit a job that does the deed, and lives for so many seconds after it."""
        self._number += 1
        mark = self._marks / str(self._number)
        body = {"data": {"deed": deed, "mark": str(mark), "naps": naps}, **fields}
        answer = self.server.ask("POST", "/", json.dumps(body).encode())
        assert answer.status == 201, answer.body
        job = str(answer.json["id"])
        paths = (f"/{job}", f"/{job}/result")
        return Job(job, mark, lambda: b"".join(self.server.ask("GET", path).body for path in paths))

    def status(self, job: Job) -> str:
        """Return the status of a job, which can be told whatever its program has done."""
        answer = self.server.ask("GET", f"/{job.id}")
        assert answer.status == 200, answer.body
        return str(answer.json["status"])

    def ended(self, job: Job) -> str:
        """Return the status of a job as soon as it has ended."""

        def look() -> str | None:
            status = self.status(job)
            return status if status in {"SUCCEEDED", "FAILED", "CANCELLED"} else None

        return eventually(look, f"the end of {job.id}", 60.0)

    def result(self, job: Job) -> Any:
        """Return the result of an ended job, or the body of its failure."""
        answer = self.server.ask("GET", f"/{job.id}/result")
        assert answer.status == 200, answer.body
        return answer.json

    def cancel(self, job: Job) -> float:
        """Cancel a job, and return how many seconds its end took."""
        begun = time.monotonic()
        self.server.ask("PUT", f"/{job.id}/cancel")
        assert self.ended(job) == "CANCELLED"
        return time.monotonic() - begun

    def shown(self, job: Job) -> bytes:
        """Return all that the API shows of an ended job."""
        paths = [f"/{job.id}{part}" for part in ("", "/interim-results", "/result", "/events")]
        return b"\n".join(self.server.ask("GET", path).body for path in paths)

    def logs(self, job: Job) -> bytes:
        """Return what `treadle logs` prints of a job."""
        command = [str(TREADLE), "logs", "--spool", str(self.server.spool), job.id]
        return subprocess.run(command, stdout=subprocess.PIPE, timeout=60, check=False).stdout

    def all_free(self) -> bool:
        """Return whether no job runs, and each slot is free."""
        health = self.server.ask("GET", "/-/health")
        assert (health.status, health.json["problems"]) == (200, [])
        return health.json["jobs"] == {"queued": 0, "running": 0, "stuck": 0}


@dataclass(frozen=True)
class Job:
    """A job that was submitted, and the file that its program makes when the deed is done."""

    id: str
    mark: Path
    tell: Callable[[], bytes]
    """Returns its status and its result, for the message of a failure."""

    def lives(self) -> bool:
        """Return whether the program is alive, once it has done its deed."""
        try:
            eventually(self.mark.exists, "the deed", 60.0)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.tell()!r}") from None
        return not self.is_gone()

    def is_gone(self) -> bool:
        """Return whether the program has ended, in each of its runs, with its deed done or not."""
        begun = self.mark.with_suffix(".begun")
        eventually(begun.exists, "the program", 100.0)
        return not any(_is_alive(int(pid)) for pid in begun.read_text().splitlines())


def _is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
