"""More than fits: files by the thousand, output by the megabyte, a watcher that dies again and again."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.server import EXAMPLES, Server, eventually

DROPS = int(os.environ.get("TREADLE_DROPS", "1000"))
"""How many files are dropped at once; more than the kernel's queue of events holds are 16,384."""
WATCHER_KILLS = int(os.environ.get("TREADLE_OBSERVER_KILLS", "2"))
"""How often the folder watcher's threads are ended."""
MIB = 1024 * 1024


def peak_memory(pid: int) -> int:
    """Return the most bytes that a process has had in memory."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024


@pytest.mark.timeout(120 + DROPS / 20)
def test_files_dropped_while_the_engine_is_stopped_are_all_taken_and_nothing_waits_for_them(serve, project):
    server = serve(
        project("import time\ndef run():\n    time.sleep(3600)\n", "name = 'idle'\n"), "--jobs", "1"
    )
    os.kill(server.process.pid, signal.SIGSTOP)
    for number in range(DROPS):
        (server.spool / "drop" / f"job-{number}.json").write_bytes(b'{"service": "idle"}')
        if number % 100 == 0:
            (server.spool / "drop" / f"bad-{number}.json").write_bytes(b'{"service": "nobody"}')
    os.kill(server.process.pid, signal.SIGCONT)
    slowest, end = 0.0, time.monotonic() + 60 + DROPS / 50
    while any((server.spool / "drop").iterdir()):
        begun = time.monotonic()
        assert begun < end
        assert server.ask("GET", "/-/health").status == 200
        slowest = max(slowest, time.monotonic() - begun)
        time.sleep(0.05)
    assert slowest < 1.0
    names = {path.name for path in (server.spool / "queue").iterdir()}
    assert names == {f"job-{number}.json" for number in range(DROPS)}
    refused = list((server.spool / "bad").glob("*.reason.json"))
    assert len(refused) == DROPS // 100 + (DROPS % 100 > 0)
    eventually(
        lambda: server.ask("GET", "/-/health").json["jobs"]["queued"] == DROPS - 1, "every job noticed"
    )
    server.kill()


HOSTILE = {
    "sparse.json": "TOO_LARGE",
    "deep.json": "INVALID_JOB",
    "link.json": "NOT_A_FILE",
    "hard.json": "HARD_LINK",
    "fifo.json": "NOT_A_FILE",
    "folder.json": "NOT_A_FILE",
    "device.json": "NOT_A_FILE",
    "new\nline.json": "UNSAFE_NAME",
    "n" * 250 + ".json": "UNSAFE_NAME",
    "bytes-\\udcff.json": "UNSAFE_NAME",
}
"""What is dropped, and why it is refused."""


def drop_hostile_files(drop: Path, secret: Path) -> None:
    with (drop / "sparse.json").open("wb") as sparse:
        sparse.truncate(1024 * MIB)
    (drop / "deep.json").write_bytes(b"[" * 100_000 + b"]" * 100_000)
    (drop / "link.json").symlink_to("/etc/passwd")
    (drop / "hard.json").hardlink_to(secret)
    os.mkfifo(drop / "fifo.json")
    (drop / "folder.json").mkdir()
    os.mknod(drop / "device.json", 0o600 | 0o020000, os.makedev(1, 5))
    (drop / "..json").write_bytes(b"{}")
    for name in ("new\nline.json", "n" * 250 + ".json"):
        (drop / name).write_bytes(b'{"service": "sum"}')
    Path(os.fsdecode(os.fsencode(drop) + b"/bytes-\xff.json")).write_bytes(b'{"service": "sum"}')


def test_hostile_files_are_refused_with_a_reason_each_and_delay_no_other(serve, tmp_path):
    server = serve(EXAMPLES / "sum")
    secret = tmp_path / "secret"
    secret.write_bytes(b'{"service": "sum"}')
    drop_hostile_files(server.spool / "drop", secret)
    slowest = 0.0

    def reasons() -> dict[str, str]:
        nonlocal slowest
        begun = time.monotonic()
        assert server.ask("GET", "/-/health").status == 200
        slowest = max(slowest, time.monotonic() - begun)
        found = (json.loads(path.read_bytes()) for path in (server.spool / "bad").glob("*.reason.json"))
        return {reason["name"]: reason["code"] for reason in found}

    eventually(lambda: len(reasons()) >= len(HOSTILE), "a reason for each")
    assert reasons() == HOSTILE
    assert slowest < 1.0
    assert server.result(server.submit({"values": [1]}))["result"] == {"sum": 1}
    assert secret.read_bytes() == b'{"service": "sum"}'


def restarted(server: Server, times: int) -> bool:
    return server.ask("GET", "/-/health").json["watcher"]["restarts"] >= times


@pytest.mark.timeout(120 + 5 * WATCHER_KILLS)
def test_a_watcher_that_is_killed_again_and_again_misses_nothing(serve, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "watcher_killer.py").write_text(WATCHER_KILLER)
    server = serve(EXAMPLES / "sum", "--plugins-dir", plugins)
    for number in range(WATCHER_KILLS):
        for job in range(10):
            if job == 5:
                assert server.ask("POST", "/-/kill-the-watcher").status == 200
            server.drop(f"job-{number}-{job}.json", b'{"service": "sum", "data": {"values": [1]}}')
        for job in range(10):
            server.dropped(f"job-{number}-{job}")
        another = partial(restarted, server, number + 1)
        eventually(another, "another watcher")


WATCHER_KILLER = '''
"""Ends the threads of the folder watcher, as an exception in one of them would."""

import threading

from aiohttp import web
from watchdog.observers.api import BaseThread

from treadle import hookimpl


async def kill(request):
    for thread in threading.enumerate():
        if isinstance(thread, BaseThread):
            thread.stop()
    return web.Response()


@hookimpl
def register_routes(app):
    app.router.add_post("/-/kill-the-watcher", kill)
'''


def test_50_mb_of_bytes_that_are_no_text_are_kept_as_they_were_printed(serve, project):
    server = serve(project(PRINTER))
    job = server.submit({"pieces": 50})
    assert server.result(job) == {"printed": 50 * MIB}
    written = (server.spool / "done" / job / "stdout.log").read_bytes()
    piece = bytes(range(256)) * 4096
    assert hashlib.sha256(written).digest() == hashlib.sha256(piece * 50).digest()


def test_output_beyond_its_limit_is_cut_and_the_status_says_so(serve, project):
    server = serve(project(PRINTER, f"output_limit = {3 * MIB}\n"))
    job = server.submit({"pieces": 5})
    assert server.result(job) == {"printed": 5 * MIB}
    done = server.spool / "done" / job
    assert (done / "stdout.log").stat().st_size == 3 * MIB
    attempt = json.loads((done / "status.json").read_bytes())["attempts"][0]
    assert attempt["detail"] == f"its output was cut at {3 * MIB} bytes"


PRINTER = """
import os

def run(data):
    piece = bytes(range(256)) * 4096
    for _ in range(data['pieces']):
        left = memoryview(piece)
        while left:
            left = left[os.write(1, left):]
    return {'printed': len(piece) * data['pieces']}
"""


def test_a_line_of_100_mb_costs_the_engine_no_100_mb(serve, project):
    server = serve(project("def run():\n    print('x' * 100_000_000)\n    return 1\n"))
    assert server.result(server.submit()) == 1
    before = peak_memory(server.process.pid)
    job = server.submit()
    assert server.result(job) == 1
    assert (server.spool / "done" / job / "stdout.log").stat().st_size == 100_000_001
    assert before < 150 * MIB
    assert peak_memory(server.process.pid) < 150 * MIB
