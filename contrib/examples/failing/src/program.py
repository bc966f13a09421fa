"""Fails in an orderly way, in each of the ways there are."""

import sys
from typing import Any, Dict

from .libs.return_objects import ErrorResponse


def run(data: Dict[str, Any], params: Dict[str, Any]) -> ErrorResponse:
    """Fail as `how` says."""
    how = params.get("how", "error")
    if how == "exception":
        raise ValueError("this value is not possible")
    if how == "exit":
        print("nothing works today", file=sys.stderr)
        sys.exit(3)
    return ErrorResponse(code="OUT_OF_ORDER", detail="this service fails on purpose")
