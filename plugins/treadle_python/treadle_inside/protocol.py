"""The language between the processes of the host runtime: words, limits, file names, the name of an exit.

Both sides import this file and nothing else of each other: the engine, and the processes that run in a
service's interpreter. An engine may meet the processes of an earlier version, and the other way round: what
stands here is only added to, or the processes get another name (ForkServerSpec.name).

    engine ──(1) setup on stdin, report on stdout──▶ fork server            one for each service
      │ ├────(2) socket: LEASE──────────────────────▶ fork server           it stays as long as this is open
      │ └────(3) socket: requests, replies──────────▶ supervisor            the fork server forks it for (3)
      │                                                    │
      └──────(4) request on stdin, exit code──▶ spawn ─────┤                forks one supervisor, and ends
                                                           ▼
                                                        program             forked by the supervisor

    1. Setup: {name, contain, preload, project, idle, files}. Report: {ready, problem}. Both are JSON.
    2. The message LEASE, once.
    3. A request is two lines of JSON. The first: {folder, place, contain, output_limit, boot, mounts,
       workdir, keep_work}, and {project, entrypoint} for a Python function, or {argv} for any other command;
       mounts are rows (mounts.py). The second is the environment, which only the program's process reads:
       whoever else had it overwrites its copy, since the next program begins with a copy of that memory. The
       replies to each: STARTED, then ENDED and the name of the exit; or one of the others, and nothing was
       started. The engine says by the folder that it has taken an end: it is not in run/ any more.
    4. The same request, and {files} as in (1); the exit code is the reply. `reply_fd` is a socket like (3),
       which the supervisor has from the engine: STARTED and ENDED come there, and the engine closes it when
       it has published the end.

What has to survive a crash is in the attempt's folder: PROCESS says who runs the attempt, and a second name
of that file how it ended (exit_names.py).
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any

LEASE = b"lease"
"""The first message of an engine that needs the server."""

STARTED = b"s"
"""Reply, followed by the content of PROCESS if the request names a boot: the child has its request."""
ALREADY_PUBLISHED = b"t"
"""Reply: another process has published PROCESS of this attempt; nothing has been started."""
TRANSIENT_ERROR = b"e"
"""Reply, followed by an errno: the supervisor could not publish itself; nothing has been started."""
ENDED = b"d"
"""Reply after STARTED, followed by the name of the exit: no process of the attempt is alive."""
CANNOT_FORK = b"p"
"""Reply: no supervisor can be forked from this server; start the job without one."""
OUTDATED = b"o"
"""Reply: loaded code has changed on the disk, or the process has expired; make another server."""

EXIT_STARTED = 0
"""Exit code of a spawn process: the supervisor has published itself."""
EXIT_ALREADY_PUBLISHED = 3
"""Exit code of a spawn process: as the reply ALREADY_PUBLISHED."""
EXIT_TRANSIENT_ERROR = 100
"""Exit code of a spawn process, with an errno added: as the reply TRANSIENT_ERROR."""

MAX_REQUEST = 128 * 1024
"""Bytes of a request that is sent over a socket."""
MAX_RECEIVED = 256 * 1024
"""Bytes that are received at most; an engine of another version may send more than this one does."""
MAX_REPLY = 1024
"""Bytes of a reply."""

PROCESS = "process.json"
"""The file that one process publishes, exclusively: the supervisor that runs the attempt, or a fence."""
JOB = "job.json"
ATTEMPT = "attempt.json"
WORK = "work"
"""The working folder of a failed attempt, where the service keeps it."""
STDOUT, STDERR = "stdout.log", "stderr.log"
RESULT_FILES = {"error": "error.json", "returned": "returned.json", "text": "returned-text.json"}
"""The files that a program may leave, by their word in the name of the exit; the first that exists counts.

`text` is `returned` of which something had no form in JSON but its text.
"""


def transient_error(error: OSError) -> bytes:
    """Return the reply TRANSIENT_ERROR with the reason why nothing has been started."""
    return TRANSIENT_ERROR + bytes((error.errno or 0,))


def head_of(request: memoryview) -> Any:
    """Return the first line of a request; the rest is not looked at, and not copied."""
    whole = request.obj
    assert isinstance(whole, bytearray)
    return json.loads(bytes(request[: whole.index(b"\n", 0, len(request))]))


def erase(request: memoryview) -> None:
    """Overwrite a request that is done with."""
    request[:] = bytes(len(request))
