"""The plain start of an attempt: a spawn process, which forks one supervisor and exits.

For services that don't want a fork server (`start = "spawn"`), and for hosts where there can't be one. The
supervisor reports the exit by a socket that the engine gave it, and stays until the engine closes that: it
may have to bring the end to the disk (treadle_inside/durable_ends.py).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL
from typing import Any

from treadle import (
    Attempt,
    StartError,
    Unavailable,
    UntrustedFile,
    may_pass,
    open_files,
    open_untrusted,
    read_untrusted,
)
from treadle_python.bootstrap import bootstrap
from treadle_python.requests import encode
from treadle_python.supervisor_handle import SupervisorHandle, wait_for_end
from treadle_python.supervisor_link import SupervisedAttempt, SupervisorLink
from treadle_python.treadle_inside.protocol import EXIT_ALREADY_PUBLISHED, EXIT_STARTED, EXIT_TRANSIENT_ERROR

_MAX_STDERR = 2000
"""Characters of a failing interpreter's stderr that are reported, from its end."""


async def spawn(
    attempt: Attempt, python: Path, environment: Mapping[str, str], request: Mapping[str, Any]
) -> SupervisedAttempt | None:
    """Start a spawn process, and wait until it has forked the supervisor. Raises StartError or OSError.

    Returns None if another process has published the attempt. A cancelled call publishes a fence, unless a
    supervisor has published itself before.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    link = SupervisorLink(ours, _stay_open)
    supervised = link.expect()
    try:
        with theirs:
            request = {**request, "reply_fd": theirs.fileno(), "files": open_files()}
            process = _start(attempt, python, environment, theirs.fileno())
        with process:
            await _send_request(attempt, process, request)
            _raise_failure(attempt, code := process.wait())
    except BaseException:
        link.close()
        raise
    if code == EXIT_ALREADY_PUBLISHED:
        link.close()
        return None
    return supervised


def _stay_open(_: SupervisorLink) -> None:
    """Do nothing when the exit is reported: the link is closed when the end is published."""


def _start(
    attempt: Attempt, python: Path, environment: Mapping[str, str], reply_fd: int
) -> subprocess.Popen[bytes]:
    try:
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(open_untrusted(attempt.stderr, append), "ab") as stderr:
            return subprocess.Popen(
                [str(python), *bootstrap("spawn")],
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                pass_fds=(reply_fd,),
                start_new_session=True,
            )
    except OSError as error:
        if may_pass(error):
            raise
        kind = StartError if os.access(python, os.X_OK) else Unavailable
        raise kind("PYTHON_NOT_STARTED", f"{python} can't be started: {error.strerror}") from error


async def _send_request(
    attempt: Attempt, process: subprocess.Popen[bytes], request: Mapping[str, Any]
) -> None:
    """Send the spawn process its request, and wait until it exits."""
    assert process.stdin is not None
    try:
        pidfd = os.pidfd_open(process.pid)
    except OSError:
        process.kill()  # it has no request, so it has forked no supervisor
        raise
    try:
        process.stdin.write(encode(request))
        process.stdin.close()
        await wait_for_end(pidfd)
    except BrokenPipeError:
        await wait_for_end(pidfd)
    except asyncio.CancelledError:
        SupervisorHandle.fence(attempt.folder)
        os.killpg(process.pid, SIGKILL)  # its session; a supervisor outside has published, or can't
        raise
    finally:
        os.close(pidfd)


def _raise_failure(attempt: Attempt, code: int) -> None:
    """Raise what the exit code of a spawn process reports, unless its supervisor runs the attempt."""
    if code > EXIT_TRANSIENT_ERROR:
        raise OSError(code - EXIT_TRANSIENT_ERROR, os.strerror(code - EXIT_TRANSIENT_ERROR))
    # A supervisor that was killed after it published and before it replied is left for wait().
    if code not in {EXIT_STARTED, EXIT_ALREADY_PUBLISHED} and SupervisorHandle.fence(attempt.folder).fenced:
        stderr = _stderr_of(attempt).decode("utf-8", "replace").strip()[-_MAX_STDERR:]
        raise StartError("PYTHON_NOT_STARTED", f"the interpreter failed before the program began: {stderr}")


def _stderr_of(attempt: Attempt) -> bytes:
    try:
        return read_untrusted(attempt.stderr)
    except (FileNotFoundError, UntrustedFile):
        return b""
