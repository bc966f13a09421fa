"""A program that does nothing: imported and run by a process that waits for its own one."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any


def run(data: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    """Return the input."""
    return {"data": data, "params": params}
