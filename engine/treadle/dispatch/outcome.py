"""The outcome of a job: its state and result, concluded from an attempt's exit and its output."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import orjson

from treadle.dispatch.output import Findings, tail
from treadle.interface.attempt import Attempt, Exit, Reason
from treadle_spool import State
from treadle_spool.folder import RESULT
from treadle_spool.names import printable
from treadle_spool.untrusted import UntrustedFile, size_untrusted

_TAIL = 4000
"""Characters of the output that explain a failure."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state in which a job ends, and its result: the content of result.json, or a file that holds it."""

    state: State
    result: bytes | Path | None


def failure(code: str, detail: str) -> Outcome:
    """Return a failure with the body that says why."""
    return Outcome(State.FAILED, orjson.dumps({"code": printable(code), "detail": printable(detail)}))


def conclude(
    attempt: Attempt, exit_: Exit, findings: Findings, timeout: float | None, max_result: int
) -> Outcome:
    """Return the job's outcome, by the rules of the contract's section 4."""
    match exit_.reason:
        case Reason.STOPPED:
            return Outcome(State.CANCELLED, None)
        case Reason.TIMED_OUT:
            return failure("TIMEOUT", f"it ran longer than its timeout of {timeout:g} s")
        case Reason.OUT_OF_MEMORY:
            exceeded = exit_.detail or "it used more memory than it was allowed"
            return failure("OUT_OF_MEMORY", _with_tail(exceeded, attempt))
        case Reason.OUTPUT_LIMIT:
            return failure("OUTPUT_LIMIT", exit_.detail or "it printed more than it is allowed")
        case Reason.NOT_STARTED:
            return failure("NOT_STARTED", exit_.detail or "it could not be started")
        case Reason.LOST:
            lost = exit_.detail or "nobody knows how it ended"
            return failure("LOST", f"attempt {attempt.number} was lost: {lost}")
        case Reason.ENDED:
            return _conclude_ended(attempt, exit_, findings, max_result)


def _conclude_ended(attempt: Attempt, exit_: Exit, findings: Findings, max_result: int) -> Outcome:
    succeeded = exit_.code == 0 and not exit_.failed
    if succeeded and exit_.unwritten and exit_.returned is None:
        return failure("OUTPUT_NOT_WRITTEN", exit_.detail or "its output could not be written to the disk")
    result: bytes | Path | None = findings.result if exit_.returned is None else exit_.returned
    if result is not None and (fault := _fault(result, max_result)):
        return failure("INVALID_RESULT", fault)
    if result is not None:
        return Outcome(State.SUCCEEDED if succeeded else State.FAILED, result)
    if not succeeded:
        return failure(_code(exit_), _explain(attempt, exit_))
    if findings.malformed is not None:
        return failure("INVALID_RESULT", findings.malformed)
    return Outcome(State.SUCCEEDED, b"null")


def _fault(result: bytes | Path, max_result: int) -> str | None:
    """Return why a printed result, or a file with one, can't be served; None if it can."""
    if isinstance(result, bytes):
        size = len(result)
    else:
        try:
            size = size_untrusted(result, twin=RESULT)  # after a crash it may be published in part
        except FileNotFoundError:
            return f"{result.name} is not there"
        except UntrustedFile as error:
            return error.strerror
    return f"the result has {size} bytes, and {max_result} are allowed" if size > max_result else None


def _code(exit_: Exit) -> str:
    """Return EXIT_<n>; a program that was killed counts as 128 + the signal, as in a shell."""
    return f"EXIT_{exit_.code if exit_.signal is None else 128 + exit_.signal}"


def _signal_name(number: int) -> str:
    """Return the name of a signal; only some of the real-time signals have one."""
    try:
        return signal.Signals(number).name
    except ValueError:
        real_time = signal.SIGRTMIN < number < signal.SIGRTMAX
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if real_time else f"signal {number}"


def _explain(attempt: Attempt, exit_: Exit) -> str:
    killed = "" if exit_.signal is None else f"killed by {_signal_name(exit_.signal)}"
    return _with_tail(exit_.detail or killed, attempt) or tail(attempt.stdout, _TAIL)


def _with_tail(detail: str, attempt: Attempt) -> str:
    """Return a detail with the end of stderr."""
    return "\n".join(part for part in (detail, tail(attempt.stderr, _TAIL)) if part)
