"""A serving engine whose system calls fail: what was accepted ends, what was refused is absent."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.server import EXAMPLES, Server, eventually

pytestmark = pytest.mark.usefixtures("needs_strace")

JOBS = int(os.environ.get("TREADLE_FAULTY_JOBS", "8"))
FAULTS = [
    ("fsync", "EIO", "1+3"),
    ("fsync", "ENOSPC", "2+3"),
    ("write", "ENOSPC", "1+5"),
    ("write", "EDQUOT", "3+4"),
    ("link", "EIO", "1+2"),
    ("rename", "ENOSPC", "1+2"),
    ("mkdir", "ENOSPC", "1+2"),
    ("openat", "EMFILE", "3+7"),
    ("openat", "EMFILE", "1+1"),
    ("fsync,write,link,rename,mkdir", "EIO", "1+1"),
]


@contextmanager
def failing(pid: int, calls: str, error: str, when: str):
    """Have some calls fail of the engine's threads as they are now, and of no program that it starts."""
    inject = f"inject={calls}:error={error}:when={when}"
    threads = [f"--attach={thread.name}" for thread in Path(f"/proc/{pid}/task").iterdir()]
    command = ["strace", "-o", "/dev/null", "-e", f"trace={calls}", "-e", inject, *threads]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    for _ in threads:
        assert "attached" in tracer.stderr.readline()
    yield
    tracer.terminate()
    tracer.communicate(timeout=30)


def have_ended(server: Server, jobs: list[str]) -> bool:
    return all((server.spool / "done" / job).exists() for job in jobs)


def is_retried(server: Server) -> bool:
    """Return whether a claim or an end has met a transient error."""
    return "trying again" in server.log.read_text()


@pytest.mark.parametrize(("calls", "error", "when"), FAULTS)
def test_what_was_accepted_ends_and_what_was_refused_is_absent(serve, calls, error, when):
    server = serve(EXAMPLES / "sum", "--jobs", "2")
    with ThreadPoolExecutor(16) as clients:  # so that all its threads are there
        early = list(clients.map(lambda _: server.submit({"values": [1]}), range(16)))
    for job in early:
        server.ended(job)
    accepted, refused = [], []
    with failing(server.process.pid, calls, error, when):
        for number in range(JOBS):
            answer = server.ask("POST", "/", b'{"data": {"values": [%d, 1]}}' % number)
            if answer.status == 201:
                accepted.append((number, answer.json["id"]))
            else:
                assert answer.status in {503, 507}, answer.body
                assert answer.status == 507 or answer.headers["Retry-After"]
                refused.append(answer)
        assert refused or calls in {"link", "write", "rename", "mkdir"}, "no call of accept has failed"
        jobs = [job for _, job in accepted]
        eventually(
            lambda: have_ended(server, jobs) or is_retried(server), "ends, or a claim or an end that fails"
        )
    for number, job in accepted:
        assert server.result(job)["result"] == {"sum": number + 1}
    last = server.submit({"values": [1]})
    assert server.result(last)["result"] == {"sum": 1}
    known = {last, *early, *(job for _, job in accepted)}
    assert {path.name for path in (server.spool / "done").iterdir()} == known
    eventually(lambda: not list((server.spool / "queue").iterdir()), "the last unlink in queue/")
    assert list((server.spool / "run").iterdir()) == []
