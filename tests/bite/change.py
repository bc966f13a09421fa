"""One thing that is taken out of the project, and the tests that are expected to notice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is taken out, and the tests that are expected to notice."""

    what: str
    file: str
    old: str
    new: str
    tests: str
    select: str = ""

    def apply(self, root: Path) -> None:
        """Make the change below root; raise ValueError unless it has one place there."""
        path = root / self.file
        text = path.read_text("utf-8")
        if text.count(self.old) != 1:
            raise ValueError(f"{self.what}: {self.file} has {text.count(self.old)} times {self.old!r}")
        path.write_text(text.replace(self.old, self.new), "utf-8")


def without(what: str, file: str, line: str, tests: str, select: str = "") -> Change:
    """Take out whole lines."""
    return Change(what, file, line, "", tests, select)


def passed(what: str, file: str, line: str, tests: str, select: str = "") -> Change:
    """Have a line that stands alone in its block do nothing."""
    indent = line[: len(line) - len(line.lstrip())]
    return Change(what, file, line, f"{indent}pass\n", tests, select)


def no_follow(where: str, file: str, around: str, tests: str, select: str = "") -> Change:
    """Take one O_NOFOLLOW out of the expression that has it, or that has FOLDER_FLAGS."""
    new = around.replace("os.O_NOFOLLOW", "0").replace("FOLDER_FLAGS", "FOLDER_FLAGS & ~os.O_NOFOLLOW")
    return Change(f"O_NOFOLLOW of {where}", file, around, new, tests, select)
