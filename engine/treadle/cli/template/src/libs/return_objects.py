"""What a program returns."""

from typing import Any


class ResultResponse:
    """The result of a successful execution; everything in it must be JSON serialisable."""

    def __init__(self, result: dict[str, Any], metadata: dict[str, Any] | None = None):
        self.result = result
        self.metadata = metadata


class ErrorResponse:
    """Why an execution failed: a code for programs, a detail for people."""

    def __init__(self, code: str, detail: str):
        self.code = code
        self.detail = detail
