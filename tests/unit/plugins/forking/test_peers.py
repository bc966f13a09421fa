"""The fork server and the engine speak with each other, and with no program."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import uuid

import pytest

from tests.unit.plugins.forking.processes import FORKED, servers
from treadle_python.fork_server_process import connect
from treadle_python.treadle_inside.peer import is_trusted

IN_A_NAMESPACE = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child"]
LISTEN = """
import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
listener.bind("\\0" + sys.argv[1])
listener.listen()
print("listening", flush=True)
while True:
    listener.accept()
"""
CONNECT = """
import socket, sys
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect("\\0" + sys.argv[1])
connection.recv(1)
"""


@pytest.fixture
def name():
    return f"treadle/{uuid.uuid4().hex}"


@pytest.fixture
def started():
    """Start a Python program, in a PID namespace of its own or not."""
    processes = []

    def start(program: str, *arguments: str, inside: bool) -> subprocess.Popen[str]:
        prefix = IN_A_NAMESPACE if inside else []
        command = [*prefix, sys.executable, "-c", program, *arguments]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize("inside", [False, True])
def test_an_engine_takes_no_program_for_its_server(started, name, inside):
    listener = started(LISTEN, name, inside=inside)
    assert listener.stdout.readline() == "listening\n"
    connection = connect(name)
    assert (connection is None) is inside
    if connection is not None:
        connection.close()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("by_pid", [False, True])
def test_a_server_tells_a_program_from_the_engine(started, name, inside, by_pid, monkeypatch):
    if by_pid:  # as on a kernel before Linux 6.5
        monkeypatch.setattr("treadle_python.treadle_inside.peer._SO_PEERPIDFD", 9999)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("\0" + name)
        listener.listen()
        started(CONNECT, name, inside=inside)
        with listener.accept()[0] as connection:
            assert is_trusted(connection, (os.geteuid(),)) is not inside
            assert not is_trusted(connection, ())


def test_a_peer_that_has_ended_is_not_trusted(started, name):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("\0" + name)
        listener.listen()
        process = started(CONNECT, name, inside=False)
        with listener.accept()[0] as connection:
            process.kill()
            process.wait()
            assert not is_trusted(connection, (os.geteuid(),))


async def test_a_name_that_a_program_has_taken_costs_jobs_their_fork_server_only(
    run, runtime, started, project, monkeypatch
):
    mark = {"FOR": str(project)}
    spec = runtime._specs.of(attempt := run.attempt(FORKED, mark), await runtime._program.command(attempt))
    listener = started(LISTEN, spec.name, inside=True)
    assert listener.stdout.readline() == "listening\n"
    assert await run(FORKED, None, mark) is False
    assert servers(project) == []
