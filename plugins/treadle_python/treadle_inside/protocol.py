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

    1. Setup: {name, contain, preload, project, idle}. Report: {ready, problem}. Both are JSON.
    2. The message LEASE, once.
    3. A request is JSON: {folder, place, contain, output_limit, environment, mounts}, and {project,
       entrypoint} for a Python function, or {argv, workdir} for any other command. mounts are rows
       (mounts.py). The replies to each: STARTED, then ENDED and the name of the exit; or one of the others,
       and nothing was started.
    4. The same request; the exit code is the reply.

What has to survive a crash is in the attempt's folder: PROCESS says who runs the attempt, and a second name
of that file how it ended (exit_name).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    ExitName = tuple[str, int, int, str | None, bool]
    """`code` or `signal`, its number, the end in milliseconds since 1970, the result's word, cut or not."""

LEASE = b"lease"
"""The first message of an engine that needs the server."""

STARTED = b"s"
"""Reply: the child has its request."""
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
STDOUT, STDERR = "stdout.log", "stderr.log"
RESULT_FILES = {"error": "error.json", "returned": "returned.json"}
"""The files that a program may leave, by their word in the name of the exit; the first that exists counts."""

_EXIT = "exit"
_CUT = "cut"
_MAX_DIGITS = 18
"""Digits of a number in a name; more are no number that a supervisor writes."""


def transient_error(error: OSError) -> bytes:
    """Return the reply TRANSIENT_ERROR with the reason why nothing has been started."""
    return TRANSIENT_ERROR + bytes((error.errno or 0,))


def exit_name(how: str, number: int, ended_ms: int, result: str | None, cut: bool) -> str:
    """Return the name that records an exit: exit-<code|signal>-<number>-<ms>[-<result>][-cut].

    result is a word of RESULT_FILES; cut says that output was discarded.
    """
    parts = [_EXIT, how, str(number), str(ended_ms)]
    if result is not None:
        parts.append(result)
    if cut:
        parts.append(_CUT)
    return "-".join(parts)


def parse_exit_name(name: str) -> ExitName | None:
    """Return the parts of the name of an exit; None for any other name."""
    parts = name.split("-")
    if len(parts) < 4 or parts[0] != _EXIT or parts[1] not in ("code", "signal"):  # noqa: PLR2004  # the grammar's
        return None
    numbers, rest = parts[2:4], parts[4:]
    if not all(each.isascii() and each.isdigit() and len(each) <= _MAX_DIGITS for each in numbers):
        return None
    result = rest.pop(0) if rest and rest[0] in RESULT_FILES else None
    cut = rest == [_CUT]
    if rest and not cut:
        return None
    return parts[1], int(numbers[0]), int(numbers[1]), result, cut
