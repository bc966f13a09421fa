"""The name of a file that records how an attempt ended.

    exit-<code|signal>-<number>-<ms>[-<word>-<size>][-cut|-unwritten<errno>][-cpu<ms>-peak<KiB>][-synced]

    ms          the end, in milliseconds since 1970
    word, size  the file that the program left (RESULT_FILES), and its bytes
    cut         its output was longer than the limit
    unwritten   its output could not be written, for this reason
    cpu, peak   the CPU time of its processes, and the most memory that one of them had resident
    synced      everything that the exit says is on the disk: it counts after any restart of the host

An attempt may have two such names, the plain one and then the same with `synced`. Version 1 wrote neither
size, nor `unwritten`, nor what was used, nor `synced`; that is read as well. Numbers are ASCII digits and
bounded: a program may make such a file too, and nothing in its name may be an error where it is read.
"""

from __future__ import annotations

from .protocol import RESULT_FILES

_EXIT = "exit"
_CUT, _UNWRITTEN, _CPU, _PEAK, _SYNCED = "cut", "unwritten", "cpu", "peak", "synced"
_MAX_NUMBER = 255
"""The largest exit code; signals are smaller."""
_MAX_MS = 253_402_300_799_999
"""The end of the year 9999, which is the last that a date can have."""
_MAX_ERRNO = 4095
_MAX_SIZE = 2**63 - 1


class ExitName:
    """How an attempt ended: a value, and its text as the name of a file."""

    __slots__ = (
        "cpu_ms",
        "cut",
        "ended_ms",
        "how",
        "number",
        "peak_kib",
        "size",
        "synced",
        "unwritten",
        "word",
    )

    def __init__(
        self,
        how: str,
        number: int,
        ended_ms: int,
        *,
        word: str | None = None,
        size: int | None = None,
        cut: bool = False,
        unwritten: int | None = None,
        cpu_ms: int | None = None,
        peak_kib: int | None = None,
        synced: bool = False,
    ) -> None:
        """Say by how (`code` or `signal`) and number how it ended; size is None in a name of version 1."""
        self.how = how
        self.number = number
        self.ended_ms = ended_ms
        self.word = word
        self.size = size
        self.cut = cut
        self.unwritten = unwritten
        """An errno, or None."""
        self.cpu_ms = cpu_ms
        self.peak_kib = peak_kib
        self.synced = synced

    def __str__(self) -> str:
        """Return the name."""
        parts: list[object] = [_EXIT, self.how, self.number, self.ended_ms]
        if self.word is not None:
            parts.append(self.word)
            if self.size is not None:
                parts.append(self.size)
        if self.unwritten is not None:
            parts.append(f"{_UNWRITTEN}{self.unwritten}")
        elif self.cut:
            parts.append(_CUT)
        if self.cpu_ms is not None and self.peak_kib is not None:
            parts += [f"{_CPU}{self.cpu_ms}", f"{_PEAK}{self.peak_kib}"]
        if self.synced:
            parts.append(_SYNCED)
        return "-".join(map(str, parts))


def synced_name(name: str) -> str:
    """Return the second name, which says that everything is on the disk."""
    return f"{name}-{_SYNCED}"


def parse_exit_name(name: str) -> ExitName | None:
    """Return the exit that a file's name records; None for any other name."""
    parts = name.split("-")
    if len(parts) < 4 or parts[0] != _EXIT or parts[1] not in ("code", "signal"):  # noqa: PLR2004  # the grammar's
        return None
    number, ended_ms = _number(parts[2], _MAX_NUMBER), _number(parts[3], _MAX_MS)
    if number is None or ended_ms is None:
        return None
    exit_ = ExitName(parts[1], number, ended_ms)
    return exit_ if _take_options(exit_, parts[4:]) else None


def _take_options(exit_: ExitName, rest: list[str]) -> bool:
    """Read the optional parts, in their order; return False if something else is there."""
    if rest and rest[0] in RESULT_FILES:
        exit_.word = rest.pop(0)
        if rest and (size := _number(rest[0], _MAX_SIZE)) is not None:
            exit_.size = size
            del rest[0]
    if rest and rest[0] == _CUT:
        exit_.cut = True
        del rest[0]
    elif rest and rest[0].startswith(_UNWRITTEN):
        exit_.unwritten = _number(rest.pop(0)[len(_UNWRITTEN) :], _MAX_ERRNO)
        if exit_.unwritten is None:
            return False
    if len(rest) > 1 and rest[0].startswith(_CPU) and rest[1].startswith(_PEAK):
        exit_.cpu_ms = _number(rest.pop(0)[len(_CPU) :], _MAX_SIZE)
        exit_.peak_kib = _number(rest.pop(0)[len(_PEAK) :], _MAX_SIZE)
        if exit_.cpu_ms is None or exit_.peak_kib is None:
            return False
    if rest == [_SYNCED]:
        exit_.synced = True
        del rest[0]
    return not rest


def _number(text: str, largest: int) -> int | None:
    """Return a number that a supervisor writes, or None."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(largest))):
        return None
    number = int(text)
    return number if number <= largest else None
