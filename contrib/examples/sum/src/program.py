"""Adds numbers: the smallest useful service, with the structure of the public Python starter template."""

import logging
import math
from typing import Any, Dict, Union

from .libs.return_objects import ErrorResponse, ResultResponse

logger = logging.getLogger(__name__)


def run(data: Dict[str, Any], params: Dict[str, Any]) -> Union[ResultResponse, ErrorResponse]:
    """Add the values, and round the sum down if `round_off` is set."""
    values = data.get("values")
    if not isinstance(values, list):
        return ErrorResponse(code="INVALID_VALUES", detail="`values` must be a list of numbers")
    total = sum(values)
    if params.get("round_off"):
        total = math.floor(total)
    logger.info("added %d values", len(values))
    return ResultResponse(result={"sum": total})
