"""A program that does nothing: a forked process calls it once while it waits for its own program."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any


def run(data: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"data": data, "params": params}
