"""Namespaces that are used up are no reason to run a program without them."""

from __future__ import annotations

import subprocess
import sys

import pytest

_HOLD = """
import os, sys, time
from pathlib import Path
from treadle_python.treadle_inside import containment, mounts

def limit(kind, number):
    Path(f"/proc/sys/user/max_{kind}_namespaces").write_text(str(number))

def child(work):
    # Let a forked process work, and return its exit code.
    pid = os.fork()
    if pid == 0:
        os._exit(work() or 0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def enter():
    try:
        return {"namespace": 1, "subreaper": 2}[containment.enter("auto")]
    except OSError as error:
        return error.errno
"""


def inside(script: str) -> str:
    """Run a script as root of a user namespace of its own, whose limits it sets; return what it printed."""
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", _HOLD + script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if "unshare failed" in done.stderr:
        pytest.skip("this host permits no user namespaces")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_host_that_permits_no_namespaces_contains_by_subreaper():
    assert inside("limit('pid', 0); print(child(enter))") == "2"


def test_a_host_whose_namespaces_are_used_up_contains_by_nothing_less():
    used_up = "limit('pid', 1); containment.enter('namespace'); print(child(enter))"
    assert inside(used_up) == "28"


def test_a_program_waits_for_a_mount_namespace_where_they_are_used_up():
    script = """
limit("mnt", 1)
held, ready = os.pipe(), os.pipe()
if os.fork() == 0:
    mounts.enter([])
    os.write(ready[1], b"x")
    time.sleep(0.7)
    os._exit(0)
os.read(ready[0], 1)
began = time.monotonic()
print(child(lambda: mounts.enter([]) and time.monotonic() - began > 0.3))
"""
    assert inside(script) == "1"


def test_a_host_that_permits_no_mount_namespaces_is_told_at_once():
    assert inside("limit('mnt', 0); print(child(lambda: mounts.enter([])))") == "0"
