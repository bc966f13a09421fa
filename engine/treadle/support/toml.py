"""TOML files that people write, and the lines in them that errors name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KEY = r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')"""
_HEADER = re.compile(rf"\s*\[\[?\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*\]")
_ASSIGNMENT = re.compile(rf"\s*({_KEY}(?:\s*\.\s*{_KEY})*)\s*=")
_MULTILINE_QUOTE = re.compile(r"\"\"\"|'''")


@dataclass(frozen=True, slots=True)
class TomlFile:
    """A TOML file as it was read once: a value, which keeps the text to find the line of a key."""

    path: Path
    text: str
    values: dict[str, Any]

    @classmethod
    def read(cls, path: Path, error: type[Exception]) -> TomlFile:
        """Return the file; raise `error` if it can't be read."""
        try:
            text = path.read_text("utf-8")
            return cls(path, text, tomllib.loads(text))
        except (OSError, ValueError) as reason:
            raise error(f"{path} can't be read: {reason}") from reason
        except RecursionError:
            raise error(f"{path} can't be read: it is nested too deeply") from None

    def where(self, *keys: str) -> str:
        """Return the file's path, with the line of the key or table where it is found."""
        line = self.line(*keys)
        return f"{self.path}, line {line}" if line else str(self.path)

    def line(self, *keys: str) -> int | None:
        """Return the number of the line that sets the key of a table, such as ("plugins", "docker", "url").

        Best effort: a table's line is that of its header, and what an inline table holds is on the line of
        that table. None if the text has neither.
        """
        around = None
        for number, place, is_header in self._places():
            if place[: len(keys)] == keys:
                return number
            if keys[: len(place)] == place and (not is_header or keys == place):
                around = number
        return around

    def _places(self) -> Iterator[tuple[int, tuple[str, ...], bool]]:
        """Yield (line, keys, whether it is a table's header) for each line that names a table or a key."""
        table: tuple[str, ...] = ()
        in_string = False
        for number, line in enumerate(self.text.splitlines(), 1):
            if not in_string:
                if header := _HEADER.match(line):
                    table = _parts(header[1])
                    yield number, table, True
                elif assignment := _ASSIGNMENT.match(line):
                    yield number, (*table, *_parts(assignment[1])), False
            in_string ^= len(_MULTILINE_QUOTE.findall(line)) % 2 == 1


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(part.strip("\"'") for part in re.findall(_KEY, dotted))
