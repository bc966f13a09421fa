"""Whose signals a supervisor obeys: those from outside of its namespace, and a flood of its own program's."""

from __future__ import annotations

import subprocess
import sys

import pytest

FIRST_PROCESS = """
import os, select, signal, sys, time
from treadle_python.treadle_inside.signalfd import SignalFd

fd = SignalFd((signal.SIGTERM, signal.SIGUSR1, signal.SIGCHLD), ())

def send(number, times):
    if os.fork() == 0:
        for _ in range(times):
            os.kill(os.getppid(), number)
            while not sent.poll(0):
                pass
            os.read(pipe[0], 1)
        os._exit(0)

pipe = os.pipe()
sent = select.poll()
sent.register(pipe[0], select.POLLIN)
times = int(sys.argv[1])
send(signal.SIGTERM, times)
seen = []
for _ in range(times):
    select.select([fd.fd], [], [])
    seen += fd.read()
    os.write(pipe[1], b"x")
os.wait()
print(seen.count(signal.SIGTERM), flush=True)
"""
INSIDE = ["unshare", "--pid", "--fork", "--kill-child"]
"""A command in a PID namespace of its own, where it is the first process."""
OUTSIDE = """
import signal, sys
from treadle_python.treadle_inside.signalfd import SignalFd
import os, select
fd = SignalFd((signal.SIGTERM,), ())
print("ready", flush=True)
select.select([fd.fd], [], [])
print(fd.read(), flush=True)
"""


def counted(times: int, prefix: list[str]) -> int:
    """Return how many of so many signals from its child a process has obeyed."""
    command = [*prefix, sys.executable, "-c", FIRST_PROCESS, str(times)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if prefix and "unshare" in ran.stderr:
        pytest.skip("this host permits no PID namespaces")
    assert ran.stderr == ""
    return int(ran.stdout)


def test_the_first_process_of_a_namespace_ignores_those_inside_up_to_a_limit():
    assert counted(100, INSIDE) == 0
    assert counted(130, INSIDE) == 30


def test_a_process_without_a_namespace_obeys_everybody():
    assert counted(3, []) == 3


def test_a_signal_from_outside_is_obeyed():
    command = [*INSIDE, sys.executable, "-c", OUTSIDE]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as unshare:
        if unshare.stdout.readline() != "ready\n":
            pytest.skip("this host permits no PID namespaces")
        subprocess.run(["pkill", "-TERM", "-P", str(unshare.pid)], check=True)
        assert unshare.stdout.read() == "[15]\n"
