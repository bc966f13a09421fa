"""The markers of the Runtime Interface document ("Custom Docker Container", "Output")."""

from __future__ import annotations

import re
from collections.abc import Iterator

from treadle import Found, Interim, Malformed, OutputParser, Result, json_fault

_PREFIX = b"PlanQK:Job:"
_RESULT = _PREFIX + b"Result:"
_INTERIM = _PREFIX + b"InterimResult"
_BLOCK = _PREFIX + b"MultilineResult"
_WHITESPACE = b" \t\r\n"
_UNSEEN = re.compile(
    rb"(?:\xef\xbb\xbf|\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    rb"|[ \t]|\xc2\xa0|\xe2\x80[\x8b-\x8f])+"
)
"""What nobody sees before a mark on a screen."""
_IN_THE_WAY = {b"\xef\xbb\xbf": "a byte order mark (BOM)", b"\x1b": "a colour code of a terminal"}
_EXCERPT_LENGTH = 80
_EXCERPT_BYTES = 1024

LONGEST_BLOCK = 256 * 1024 * 1024
"""The size limit of a multi-line result in bytes; a longer one is not kept in memory."""


class MarkersParser(OutputParser):
    """Finds `PlanQK:Job:Result:`, `PlanQK:Job:MultilineResult` blocks and `PlanQK:Job:InterimResult`.

    A marker counts at the start of a line. The first valid result wins, in either of its two forms,
    and later results are ignored. All lines between the two marks of a block belong to the block.
    """

    name = "planqk"

    def __init__(self) -> None:
        self._line_number = 0
        self._block: bytearray | None = None
        """The lines of the open block, each with a line feed."""
        self._block_start = 0
        self._block_size = 0
        self._has_result = False

    def feed(self, line: bytes) -> Iterator[Found]:
        """Take the next line and yield the result, interim result or error that it completes."""
        self._line_number += 1
        if line.startswith(_PREFIX) and line.rstrip() == _BLOCK:
            yield from self._toggle_block()
        elif self._block is not None:
            self._append(line.removesuffix(b"\r") + b"\n")
        elif line.startswith(_RESULT):
            if not self._has_result:
                yield self._parse_result(_value(line, _RESULT), "result", self._line_number)
        elif line.startswith(_INTERIM):
            yield self._parse_interim(_value(line, _INTERIM + b":"))
        elif self._is_open_to_results() and (what := _in_the_way(line, 0, line.find(_PREFIX))):
            yield Malformed(
                f"the marker in line {self._line_number} of the output was not taken, since it is not at the "
                f"start of its line: {what} before it",
                interim=True,
            )

    def skip(self, output: bytes, start: int, end: int) -> int:
        """Take the lines before the next mark."""
        if output.startswith(_PREFIX, start):
            return start
        end = self._next(output, start, end)
        self._line_number += output.count(b"\n", start, end)
        if self._block is not None:
            self._append(output[start:end].replace(b"\r\n", b"\n"))
        return end

    def _next(self, output: bytes, start: int, end: int) -> int:
        """Return where the next line begins that has a mark, or one that is nearly at its start."""
        mark = start
        while (mark := output.find(_PREFIX, mark, end)) >= 0:
            line = output.rfind(b"\n", start, mark) + 1 or start
            if line == mark or (self._is_open_to_results() and _in_the_way(output, line, mark)):
                return line
            mark += 1
        return end

    def _is_open_to_results(self) -> bool:
        return self._block is None and not self._has_result

    def finish(self) -> Iterator[Found]:
        """Yield an error for a block that was never closed."""
        if self._block is not None and not self._has_result:
            yield Malformed(
                f"the multi-line result that begins in line {self._block_start} of the output is never "
                f"closed: print {_BLOCK.decode()} after it"
            )

    def collected(self) -> int:
        """Return the size of the open block."""
        return 0 if self._block is None else len(self._block)

    def wants_whole(self, head: bytes) -> bool:
        """Ask for each line that can still be part of a result or an interim result."""
        if self._block is not None:
            return not self._has_result
        return head.startswith(_INTERIM) or (head.startswith(_RESULT) and not self._has_result)

    def _toggle_block(self) -> Iterator[Found]:
        """Open a block, or close the open one and yield its result."""
        if self._block is None:
            self._block, self._block_start, self._block_size = bytearray(), self._line_number, 0
            return
        raw, self._block = bytes(self._block).strip(_WHITESPACE), None
        if self._block_size > LONGEST_BLOCK:
            yield Malformed(
                f"the multi-line result in line {self._block_start + 1} of the output has "
                f"{self._block_size} bytes, and {LONGEST_BLOCK} are allowed"
            )
        elif not self._has_result:
            yield self._parse_result(raw, "multi-line result", self._block_start + 1)

    def _append(self, lines: bytes) -> None:
        """Add lines to the block, unless the block can't become the result any more."""
        assert self._block is not None
        self._block_size += len(lines)
        if self._block_size > LONGEST_BLOCK:
            self._block.clear()
        elif not self._has_result:
            self._block += lines

    def _parse_result(self, raw: bytes, what: str, line_number: int) -> Found:
        if error := json_fault(raw):
            where = f"the {what} in line {line_number} of the output"
            return Malformed(f"{where} is not valid JSON: {error}: {_excerpt(raw)}")
        self._has_result = True
        return Result(raw)

    def _parse_interim(self, raw: bytes) -> Found:
        if error := json_fault(raw):
            where = f"the interim result in line {self._line_number} of the output"
            return Malformed(f"{where} is not valid JSON: {error}: {_excerpt(raw)}", interim=True)
        return Interim(raw)


def _in_the_way(output: bytes, line: int, mark: int) -> str:
    """Return what keeps the mark of a result from the start of its line, if that is hardly to be seen."""
    if not output.startswith((_RESULT, _BLOCK), mark):
        return ""
    if mark > line and output.startswith(b"\r", mark - 1):
        return "a carriage return, as of a progress bar, stands"
    if mark - line > _EXCERPT_BYTES or not _UNSEEN.fullmatch(output, line, mark):
        return ""
    what = (what for name, what in _IN_THE_WAY.items() if output.find(name, line, mark) >= 0)
    return f"{next(what, 'white space')} stands"


def _value(line: bytes, mark: bytes) -> bytes:
    """Return what stands after a mark, whose last byte is optional; a large value is copied once."""
    start = len(mark) if line.startswith(mark) else len(mark) - 1
    start += line.startswith(b" ", start)
    return line[start:].strip(_WHITESPACE)


def _excerpt(raw: bytes) -> str:
    """Return the beginning of the bytes as text, for an error message."""
    text = raw[:_EXCERPT_BYTES].strip().decode(errors="replace")
    whole = len(raw) <= _EXCERPT_BYTES and len(text) <= _EXCERPT_LENGTH
    return repr(text if whole else text[:_EXCERPT_LENGTH] + "…")
