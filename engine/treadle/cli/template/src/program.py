"""The service: Treadle calls `run` in a new process for every execution."""

from typing import Any

from .libs.return_objects import ErrorResponse, ResultResponse


def run(data: dict[str, Any], params: dict[str, Any]) -> ResultResponse | ErrorResponse:
    """Add the values of the input."""
    values = data.get("values")
    if not isinstance(values, list):
        return ErrorResponse(code="INVALID_VALUES", detail="`values` must be a list of numbers")
    total = sum(values)
    if params.get("round_off"):
        total = int(total)
    return ResultResponse(result={"sum": total})
