"""The service projects that are measured."""

from __future__ import annotations

from pathlib import Path

SUM = "def run(data: dict, params: dict) -> dict:\n    return {'sum': sum(data['values'])}\n"
"""The trivial function."""


def make_project(folder: Path, program: str = SUM, venv: Path | None = None, *options: str) -> Path:
    """Write a project of one program, with lines for its treadle.toml, and return its folder."""
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "program.py").write_text(program)
    lines = [f'name = "{folder.name}"', *([f'python = "{venv}"'] if venv else []), *options]
    (folder / "treadle.toml").write_text("\n".join(lines) + "\n")
    return folder
