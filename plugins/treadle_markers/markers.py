"""The markers of the Runtime Interface document ("Custom Docker Container", "Output")."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from treadle import Found, Interim, Malformed, OutputParser, Result

_PREFIX = b"PlanQK:Job:"
_RESULT = _PREFIX + b"Result:"
_INTERIM = _PREFIX + b"InterimResult"
_BLOCK = _PREFIX + b"MultilineResult"
_BLANK = b" \t\r\n"
_EXCERPT = 80

LONGEST_BLOCK = 256 * 1024 * 1024
"""Bytes of a multi-line result; what is longer is not kept."""


class MarkersParser(OutputParser):
    """Finds `PlanQK:Job:Result:`, `PlanQK:Job:MultilineResult` blocks and `PlanQK:Job:InterimResult`.

    A marker counts at the start of a line. The first valid result wins, whichever of the two forms
    it has, and later ones are ignored. All lines between the two marks of a block belong to it.
    """

    name = "planqk"

    def __init__(self) -> None:
        self._number = 0
        self._block: list[bytes] | None = None
        self._opened = 0
        self._size = 0
        self._done = False

    def feed(self, line: bytes) -> Iterator[Found]:
        """Take the next line and yield the result, interim result or fault that it completes."""
        self._number += 1
        if line.startswith(_PREFIX) and line.rstrip() == _BLOCK:
            yield from self._turn_block()
        elif self._block is not None:
            self._add(line.removesuffix(b"\r"))
        elif line.startswith(_RESULT):
            if not self._done:
                yield self._judge(line[len(_RESULT) :], "result", self._number)
        elif line.startswith(_INTERIM):
            yield self._judge_interim(line[len(_INTERIM) :])

    def finish(self) -> Iterator[Found]:
        """Complain of a block that was never closed."""
        if self._block is not None and not self._done:
            yield Malformed(
                f"the multi-line result that begins in line {self._opened} of the output is never closed: "
                f"print {_BLOCK.decode()} after it"
            )

    def wants_whole(self, head: bytes) -> bool:
        """Want every marker's line, and every line of a block, for as long as they can matter."""
        if self._block is not None:
            return not self._done
        return head.startswith(_INTERIM) or (head.startswith(_RESULT) and not self._done)

    def _turn_block(self) -> Iterator[Found]:
        """Open a block, or close it and yield what it holds."""
        if self._block is None:
            self._block, self._opened, self._size = [], self._number, 0
            return
        text, self._block = b"\n".join(self._block), None
        if self._size > LONGEST_BLOCK:
            yield Malformed(
                f"the multi-line result in line {self._opened + 1} of the output has {self._size} bytes, "
                f"and {LONGEST_BLOCK} are allowed"
            )
        elif not self._done:
            yield self._judge(text, "multi-line result", self._opened + 1)

    def _add(self, line: bytes) -> None:
        """Keep a line of the block, as long as it can still become a result."""
        assert self._block is not None
        self._size += len(line) + 1
        if self._size > LONGEST_BLOCK:
            self._block.clear()
        elif not self._done:
            self._block.append(line)

    def _judge(self, text: bytes, what: str, line: int) -> Found:
        if fault := _fault(text):
            return Malformed(
                f"the {what} in line {line} of the output is not valid JSON: {fault}: {_excerpt(text)}"
            )
        self._done = True
        return Result(text.strip(_BLANK))

    def _judge_interim(self, text: bytes) -> Found:
        text = text.removeprefix(b":").strip(_BLANK)
        if fault := _fault(text):
            where = f"the interim result in line {self._number} of the output"
            return Malformed(f"{where} is not valid JSON: {fault}: {_excerpt(text)}", interim=True)
        return Interim(text)


def _fault(text: bytes) -> str | None:
    """Say what is wrong with a JSON text (RFC 8259), or None."""
    try:
        text.decode()
        msgspec.json.decode(text, type=msgspec.Raw)
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.DecodeError as error:
        return str(error).removeprefix("JSON is malformed: ")
    return None


def _excerpt(text: bytes) -> str:
    shown = text.strip().decode(errors="replace")
    return repr(shown if len(shown) <= _EXCERPT else shown[:_EXCERPT] + "…")
