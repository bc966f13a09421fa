"""A project's Dockerfile: where it is, what it builds on, and whether it needs BuildKit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from e2b_dockerfile_utils import DockerfileAst, DockerfileInstruction, ShellLex, parse_dockerfile_ast

_NAMES = ("Dockerfile", "Containerfile")
_NO_IMAGE = "scratch"
_BUILDKIT_FLAGS = ("--mount", "--network", "--security", "--link", "--parents", "--exclude", "--checksum")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::?([-+])([^}]*))?\})")


def dockerfile_of(project: Path) -> Path | None:
    """Return the file that a project's image is built by: its Dockerfile, or else its Containerfile."""
    return next((path for name in _NAMES if (path := project / name).is_file()), None)


class Dockerfile:
    """The content of a Dockerfile, as far as it can be parsed: an engine's builder tells its faults."""

    def __init__(self, path: Path) -> None:
        """Read the file; raise OSError."""
        text = path.read_text("utf-8-sig", "replace")
        try:
            self._ast = parse_dockerfile_ast(text)
        except ValueError:
            self._ast = DockerfileAst([], "\\")

    def bases(self) -> list[str]:
        """Return the names of the images that it takes anything from, apart from its own stages.

        A name with a variable that the Dockerfile gives no value is left out.
        """
        stages, bases = {_NO_IMAGE}, list[str]()
        for instruction, name in self._sources():
            if name.lower() not in stages and not name.isdigit() and "$" not in name:
                bases.append(name)
            if instruction.name == "FROM" and len(instruction.args) > 2:  # noqa: PLR2004  # FROM image AS stage
                stages.add(instruction.args[2].lower())
        return list(dict.fromkeys(bases))

    def buildkit_feature(self) -> str | None:
        """Return the first thing in it that only BuildKit knows, such as `RUN --mount`, or None."""
        for instruction in self._ast.instructions:
            for flag in instruction.flags:
                if (name := flag.partition("=")[0]) in _BUILDKIT_FLAGS:
                    return f"{instruction.name} {name}"
            if instruction.heredocs:
                return f"{instruction.name} <<{instruction.heredocs[0].name}"
        return None

    def _sources(self) -> Iterator[tuple[DockerfileInstruction, str]]:
        """Yield each instruction that takes something from an image or a stage, and the name of that."""
        unquote = ShellLex(self._ast.escape_token).process_word
        values: dict[str, str] = {}
        begun = False
        for instruction in self._ast.instructions:
            if instruction.name == "ARG" and not begun:
                for argument in instruction.args:
                    name, given, value = argument.partition("=")
                    if given:
                        values[name] = _expand(unquote(value), values)
            elif instruction.name == "FROM" and instruction.args:
                begun = True
                yield instruction, _expand(unquote(instruction.args[0]), values)
            elif instruction.name == "COPY":
                yield from (
                    (instruction, flag[7:]) for flag in instruction.flags if flag.startswith("--from=")
                )


def _expand(text: str, values: Mapping[str, str]) -> str:
    """Return a text with the values of its variables; a variable without a value stays as it is."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[2], match[3], match[4]
        if operator == "+":
            return word if values.get(name) else ""
        if operator == "-":
            return values.get(name) or word
        return values.get(name, match[0])

    return _VARIABLE.sub(value, text)
