"""Adds numbers slowly, and shows the sum so far."""

import json
import time
from typing import Any, Dict

from .libs.return_objects import ResultResponse


def run(data: Dict[str, Any], params: Dict[str, Any]) -> ResultResponse:
    """Add the values one by one, `delay` seconds after each other."""
    total = 0
    for value in data["values"]:
        total += value
        print("PlanQK:Job:InterimResult:", json.dumps({"sum": total}))
        time.sleep(params.get("delay", 0.1))
    return ResultResponse(result={"sum": total})
