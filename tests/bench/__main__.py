"""`make bench`: Treadle against a plain start of the same function, in one run on one machine."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from tests.bench.measure import Latency, Throughput, header
from tests.bench.plain import PlainStart
from tests.bench.treadle_lane import TreadleLane

PROGRAM = "def run(data, params):\n    return {'sum': sum(data['values'])}\n"


async def main() -> None:
    """Measure interleaved, print medians and ratios."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder:
        project = Path(folder) / "bench"
        (project / "src").mkdir(parents=True)
        (project / "src" / "__init__.py").touch()
        (project / "src" / "program.py").write_text(PROGRAM)
        plain = PlainStart(project)
        async with TreadleLane(project, Path(folder) / "spool", jobs=2) as treadle:
            print(header())
            print(await Latency.measure(treadle, plain, rounds=options.rounds))
            print(await Throughput.measure(treadle, plain, jobs=options.jobs, lanes=2))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="jobs one after the other")
    parser.add_argument("--jobs", type=int, default=500, help="jobs for the throughput")
    return parser.parse_args()


asyncio.run(main())
