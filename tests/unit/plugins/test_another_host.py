"""A runtime of a stranger's: it runs python-template on another host, which mounts the spool elsewhere.

The other host is a scheduler in a mount namespace of its own. The spool is bind-mounted there at another
path, and hidden at its own one, so that nothing works which was not relocated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import msgspec
import pytest

from treadle import Descriptor
from treadle.engine import Engine
from treadle.testing import EngineHarness, ended, eventually, log, submit, until

ELSEWHERE = '''
"""The runtime `elsewhere`: it hands commands to a scheduler as tickets, and finds the exits as files."""

import asyncio
import json
from pathlib import Path

from treadle import Exit, Reason, Runtime, hookimpl


class Elsewhere(Runtime):
    name = "elsewhere"

    def __init__(self, tickets, mounted):
        self.tickets, self.mounted = Path(tickets), Path(mounted)

    async def start(self, attempt, command):
        ticket = self.ticket(attempt)
        if ticket.exists() or self.exit(attempt).exists():
            return
        spool = attempt.folder.parent.parent
        there = command.relocated(spool, self.mounted)
        folder = str(attempt.folder).replace(str(spool), str(self.mounted))
        draft = ticket.with_suffix(".draft")
        draft.write_text(
            json.dumps({"argv": there.argv, "environment": dict(there.environment), "folder": folder})
        )
        draft.rename(ticket)

    async def wait(self, attempt):
        while not self.exit(attempt).exists():
            await asyncio.sleep(0.02)
        code = int(self.exit(attempt).read_text())
        return Exit(Reason.ENDED, code=max(code, 0), signal=-code if code < 0 else None)

    async def stop(self, attempt, grace):
        self.ticket(attempt).with_suffix(".stop").touch()
        await self.wait(attempt)

    def ticket(self, attempt):
        return self.tickets / f"{attempt.job.id}-{attempt.number}.ticket"

    def exit(self, attempt):
        return attempt.folder / "elsewhere-exit"


@hookimpl
def register_runtimes(settings):
    return [Elsewhere(**settings.of_plugin("elsewhere"))]
'''

SCHEDULER = """
import json, os, pathlib, subprocess, sys, tempfile, time
tickets = pathlib.Path(sys.argv[1])
running, over = {}, set()
while not (tickets / "end").exists():
    for path in tickets.glob("*.ticket"):
        if path.name not in running:
            ticket = json.loads(path.read_text())
            logs = [open(f"{ticket['folder']}/{name}.log", "ab") for name in ("stdout", "stderr")]
            process = subprocess.Popen(
                ticket["argv"], env=ticket["environment"], cwd=tempfile.mkdtemp(), stdin=subprocess.DEVNULL,
                stdout=logs[0], stderr=logs[1],
            )
            running[path.name] = process, ticket["folder"], path
    for name, (process, folder, path) in running.items():
        if path.with_suffix(".stop").exists() and process.poll() is None:
            process.kill()
        if process.poll() is not None and name not in over:
            over.add(name)
            with open(f"{folder}/.exit", "w") as file:
                file.write(str(process.returncode))
            os.rename(f"{folder}/.exit", f"{folder}/elsewhere-exit")
    time.sleep(0.01)
"""

PROGRAMS = {
    "numbers": "def run(data, params):\n    return {'sum': sum(data['values']), 'params': params}\n",
    "nan": "def run(data):\n    return {'x': [1.0, float('nan')]}\n",
    "big integers": "def run(data):\n    return data['big'] ** 30\n",
    "unicode": "def run(data):\n    print('grüße 漢字')\n    return data['text'] + ' \\u2028 漢字'\n",
    "exception": "def run(data):\n    raise ValueError('no such molecule: ' + data['text'])\n",
    "interim": (
        "def run(data):\n    for n in range(3):\n        print('PlanQK:Job:InterimResult:', n)\n"
        "    return 'done'\n"
    ),
    "files": (
        "import os\ndef run(data):\n    assert os.listdir('.') == []\n    open('a.txt', 'w').write('kept')\n"
        "    return open('a.txt').read()\n"
    ),
    "marker": 'def run(data):\n    print(\'PlanQK:Job:Result: {"by": "marker"}\')\n',
    "error response": (
        "class ErrorResponse:\n    def __init__(self):\n        self.code, self.detail = 'E1', 'by itself'\n"
        "def run(data):\n    return ErrorResponse()\n"
    ),
    "exit code": "import sys\ndef run(data):\n    print('why', file=sys.stderr)\n    sys.exit(3)\n",
    "sleeper": "import time\ndef run(data):\n    print('asleep')\n    time.sleep(600)\n",
}
INPUT = b'{"values": [20, 22], "text": "na\\u00efve", "big": 1' + b"0" * 199 + b"1}"


@pytest.fixture
def scheduler(tmp_path):
    """Run a scheduler on the other host, and return its folder of tickets and where it mounts the spool."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        pytest.skip("a second mount of the spool needs root and unshare")
    tickets, mounted, spool = tmp_path / "tickets", tmp_path / "mounted", tmp_path / "spool"
    for folder in (tickets, mounted, spool):
        folder.mkdir()
    mounts = f'mount --bind "{spool}" "{mounted}" && mount -t tmpfs none "{spool}" && touch "{tickets}/up"'
    command = ["unshare", "--mount", "sh", "-c", f'{mounts} && exec "$0" "$@"']
    process = subprocess.Popen([*command, sys.executable, "-c", SCHEDULER, str(tickets)])
    eventually((tickets / "up").exists, "the other host")
    yield tickets, mounted
    (tickets / "end").touch()
    assert process.wait(20) == 0


@pytest.fixture
def harness(tmp_path, scheduler):
    """Serve each program twice: on the host, and on the other one."""
    harness = EngineHarness(tmp_path)
    harness.plugin("elsewhere", ELSEWHERE)
    for name, program in PROGRAMS.items():
        for runtime in ("host", "elsewhere"):
            project = harness.projects / f"{name.replace(' ', '-')}-{runtime}"
            (project / "src").mkdir(parents=True)
            (project / "src" / "__init__.py").touch()
            (project / "src" / "program.py").write_text(program, "utf-8")
            (project / "treadle.toml").write_text(f'program = "python-template"\nruntime = "{runtime}"\n')
    tickets, mounted = scheduler
    section = {"elsewhere": {"tickets": str(tickets), "mounted": str(mounted)}}
    return harness, section


def test_the_foreign_runtime_is_short():
    assert len(ELSEWHERE.strip().splitlines()) < 80


async def test_it_gives_the_same_answers_as_the_host(harness):
    made, section = harness
    async with made.engine(plugins=section, jobs=4) as engine:
        for name in PROGRAMS.keys() - {"sleeper"}:
            on_host, elsewhere = [await answer(engine, name, runtime) for runtime in ("host", "elsewhere")]
            assert on_host == elsewhere, name


async def answer(engine: Engine, program: str, runtime: str) -> tuple[object, ...]:
    """Run a job of the program there, and return all that its client sees of its end."""
    service = f"{program.replace(' ', '-')}-{runtime}"
    job = (await engine.submit(Descriptor(service=service, data=msgspec.Raw(INPUT)))).id
    status = await ended(engine, job)
    last, done = status.attempts[-1], engine.spool.done / job
    interim = done / "interim.jsonl"
    return (
        status.status,
        (last.reason, last.code, last.signal),
        (done / "result.json").read_bytes(),
        interim.read_bytes() if interim.exists() else None,
        log(engine, job),
    )


async def test_a_cancel_reaches_the_other_host(harness):
    made, section = harness
    async with made.engine(plugins=section) as engine:
        job = await submit(engine, service="sleeper-elsewhere")
        await until(lambda: log(engine, job) == b"asleep\n", "the program prints")
        engine.spool.ask_to_cancel(job)
        assert (await ended(engine, job)).status == "CANCELLED"
