"""A table: programs of each kind, in each way in which Treadle starts them, and in a plain run.

A plain run is what somebody does who tries a program without Treadle: Python imports the module in the
project's folder and calls the function. What it prints, its exit code, the files that it leaves and its value
are the expectation; none is written by hand. The programs are in programs/, and one server runs them all, on
a spool with a long path.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.programs import PROGRAMS, native
from tests.acceptance.server import Server

VALUE = '''
import asyncio, inspect, json, os, sys
from src.program import run
def plainly(value):
    """What programs give json.dumps() for what it does not know: its own plain form, else its text."""
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    for name in ("tolist", "isoformat"):
        if hasattr(value, name):
            return getattr(value, name)()
    return list(value) if isinstance(value, (set, frozenset)) else str(value)
def value_of(data):
    value = run(data, {})
    value = asyncio.run(value) if inspect.isawaitable(value) else value
    return None if value is None else json.dumps(value, default=plainly)
'''
"""A value as the JSON that a plain program makes of it."""
PLAIN = f"""{VALUE}
value = value_of(json.loads(sys.argv[1]))
if value is not None:
    with open(sys.argv[2], "w") as file:
        file.write(value)
"""
COMMAND = f"""
import os, sys
sys.path[0] = sys.argv.pop()
output = os.dup(1)
{VALUE}
with open(os.environ["INPUT_DIRECTORY"] + "/data.json") as file:
    value = value_of(json.load(file))
if value is not None:
    os.write(output, f"\\nPlanQK:Job:Result: {{value}}\\n".encode())
"""
"""The same as a command; it prints its value past the buffers, so that the rest can be told from that."""
RESULT = re.compile(rb"\nPlanQK:Job:Result: [^\n]*\n")
"""What a command prints there; no other program but one prints it."""
PROJECT = re.compile(rb"/[^\s\"']*/projects/[a-z0-9-]+")
CALLER = re.compile(rb'  File "<string>", line \d+, in (?:<module>|value_of)\n(?:    .*\n)*')
"""The lines of a traceback that belong to the scripts above."""
EMPTY = re.compile(rb'Traceback \(most recent call last\):\n(?=  File "[^"]*", line \d+\n)')
"""The head of a traceback without a line, which Python leaves out if there is no caller."""
SPOOL = Path(
    "a-spool-with-a-path-that-is-so-long", "that-no-socket-in-it-has-a-name", "which-the-system-takes-for-one"
)
"""Below the test's folder: what programs take for the place of temporary files would lie there as well."""
SETTINGS = {
    "fork": 'start = "fork"\n',
    "spawn": 'start = "spawn"\n',
    "command": f"""program = "command"
command = {json.dumps([sys.executable, "-s", "-c", COMMAND, "{project}"])}
""",
}
NOT_AS_COMMAND = {
    "shared memory that is forgotten": "what a command leaves running is killed, a resource tracker too",
}


@dataclass(frozen=True)
class Left:
    """What a run of a program leaves."""

    stdout: bytes
    stderr: bytes
    code: int
    """The exit code; for a signal its number, negative."""
    files: dict[str, bytes]
    value: Any

    @classmethod
    def by(cls, folder: Path, stdout: bytes, stderr: bytes, code: int, value: Any) -> Left:
        """Take it without what no two runs have in common."""
        files = {
            str(each.relative_to(folder)): _bare(each.read_bytes(), folder)
            for each in sorted(folder.rglob("*"))
            if each.is_file()
        }
        return cls(_bare(RESULT.sub(b"", stdout), folder), _bare(stderr, folder), code, files, value)


def _bare(output: bytes, folder: Path) -> bytes:
    """Return output without the addresses of objects and the names of the folders of a run."""
    output = PROJECT.sub(b"PROJECT", output.replace(bytes(folder), b"FOLDER"))
    output = output.replace(folder.name.encode(), b"NAME")
    return EMPTY.sub(b"", CALLER.sub(b"", re.sub(rb"0x[0-9a-f]+", b"0x", output)))


def _service(name: str, way: str) -> str:
    return f"{way}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')}"


def _has_no_place(name: str, way: str) -> bool:
    """Return whether a program is not run in this way."""
    return way == "command" and name in NOT_AS_COMMAND


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compared")


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """Set what a program sees of the environment in all ways, and return that."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [each for each in os.environ if each.startswith(("PYTHON", "LC_"))]:
            if name != "PYTHONPATH":  # the engine may need it; no program of its has it
                patch.delenv(name)
        patch.setenv("LC_ALL", "C.UTF-8")
        yield {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@pytest.fixture(scope="module")
def server(folder: Path, environment: dict[str, str]) -> Iterator[Server]:
    """Serve each program in each way."""
    for name, program in PROGRAMS.items():
        for way, settings in SETTINGS.items():
            project = folder / "projects" / _service(name, way)
            (project / "src").mkdir(parents=True)
            (project / "src" / "__init__.py").touch()
            (project / "src" / "program.py").write_text(program)
            (project / "treadle.toml").write_text(f'name = "{_service(name, way)}"\n{settings}')
    spool = folder / SPOOL
    assert len(str(spool)) >= 120
    spool.parent.mkdir(parents=True)
    arguments = ["--jobs", "2", "--services", str(folder / "projects")]
    server = Server(spool, arguments, log=folder / "serve.log").start()
    yield server
    server.stop()
    server.end_programs()


@pytest.fixture(scope="module")
def libraries(folder: Path) -> native.Libraries:
    (folder / "native").mkdir()
    return native.Libraries(folder / "native")


@pytest.fixture(scope="module")
def jobs(
    request: pytest.FixtureRequest, server: Server, folder: Path, libraries: native.Libraries
) -> dict[str, str]:
    """Submit the jobs of all tests, in their order, and return their ids by the service's name."""
    items = [each for each in request.session.items if each.module is request.module]
    calls = [each.callspec.params for each in items if not _has_no_place(**each.callspec.params)]
    services = {_service(call["name"], call["way"]): call["name"] for call in calls}
    for name in services.values():
        libraries.compile_for(name)
    jobs = {}
    for service in services:
        (place := folder / "left" / service).mkdir(parents=True)
        data = {"folder": str(place), "native": str(libraries.folder)}
        jobs[service] = server.submit(data, base=f"/services/{service}/")
    return jobs


@pytest.fixture(scope="module")
def plain_runs(
    folder: Path, libraries: native.Libraries, environment: dict[str, str]
) -> Callable[[str], Left]:
    """Return the function that runs a program of this name in the plain way, once."""

    @functools.cache
    def plain_run(name: str) -> Left:
        (place := folder / "left" / _service(name, "plain")).mkdir(parents=True)
        data = {"folder": str(place), "native": str(libraries.folder)}
        project, value = folder / "projects" / _service(name, "fork"), place.with_suffix(".json")
        return _plain_run(project, data, value, environment)

    return plain_run


def _plain_run(project: Path, data: dict[str, str], value: Path, environment: dict[str, str]) -> Left:
    ran = subprocess.run(
        [sys.executable, "-s", "-c", PLAIN, json.dumps(data), str(value)],
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        env=environment,
        timeout=60,
    )
    result = json.loads(value.read_bytes()) if value.exists() else None
    return Left.by(Path(data["folder"]), ran.stdout, ran.stderr, ran.returncode, result)


def _left_by_job(server: Server, service: str, job: str, folder: Path, *, has_value: bool) -> Left:
    server.ended(job, base=f"/services/{service}")
    done = server.spool / "done" / job
    logs = [done / name for name in ("stdout.log", "stderr.log")]
    stdout, stderr = [log.read_bytes() if log.exists() else b"" for log in logs]
    last = server.status(job)["attempts"][-1]
    code = last["code"] if last.get("code") is not None else -last["signal"]
    value = server.result(job, base=f"/services/{service}") if has_value else None
    return Left.by(folder, stdout, stderr, code, value)


@pytest.mark.parametrize("way", SETTINGS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_leaves_what_a_plain_run_leaves(*, server, jobs, plain_runs, libraries, folder, name, way):
    libraries.skip_without(name)
    if _has_no_place(name, way):
        pytest.skip(NOT_AS_COMMAND[name])
    service = _service(name, way)
    plain = plain_runs(name)
    has_value = plain.value is not None
    assert (
        _left_by_job(server, service, jobs[service], folder / "left" / service, has_value=has_value) == plain
    )
