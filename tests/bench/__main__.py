"""`make bench`: Treadle beside other ways to run the same job, in one run on one machine."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.bench import programs
from tests.bench.backlog import backlog
from tests.bench.clients import clients
from tests.bench.container_lanes import available, container_project, run_lane
from tests.bench.measure import header, measure, table
from tests.bench.peer_lanes import Peers, promises
from tests.bench.places import Places
from tests.bench.plain import PlainStart
from tests.bench.project import make_project
from tests.bench.scale import scale
from tests.bench.start import start
from tests.bench.submits import submits
from tests.bench.treadle_lane import TreadleLane


async def main() -> None:
    """Measure interleaved, print medians and ratios."""
    options = _options()
    print(header())
    with tempfile.TemporaryDirectory(prefix="treadle-bench-") as folder:
        places = Places(Path(folder))
        if "python" in options.cases:
            await _python(places, options)
        if "peers" in options.cases:
            await _peers(places, options)
        if "numpy" in options.cases:
            rows = await programs.numpy(places, options.rounds // 2, options.jobs // 2)
            print(table("a job that imports numpy, 2 at a time", rows))
        if "payload" in options.cases:
            rows = await programs.payload(places, max(options.rounds // 5, 5), max(options.jobs // 10, 20))
            print(table("10 MB in, 10 MB out, 2 at a time", rows))
        if "backlog" in options.cases:
            print(await backlog(places, options.queued, options.jobs // 2))
        if "start" in options.cases:
            print(await start(places, options.queued))
        if "clients" in options.cases:
            print(await clients(places, 500, options.seconds))
        if "submits" in options.cases:
            print(await submits(places, options.jobs))
        if "scale" in options.cases:
            print(scale(places, options.queued, options.ended))
        for engine in ("docker", "podman"):
            if engine in options.cases:
                await _containers(places, engine, options)


async def _python(places: Places, options: argparse.Namespace) -> None:
    project = make_project(places.new("project"))
    async with _treadles(places, project, options) as treadles:
        rows = await measure([*treadles, PlainStart(project)], options.rounds, options.jobs)
    print(table("a trivial function, 2 at a time", rows))


async def _peers(places: Places, options: argparse.Namespace) -> None:
    project = make_project(places.new("project"))
    peers = Peers(places, project, print)
    async with _treadles(places, project, options) as treadles, peers as lanes:
        rows = await measure([*treadles, *lanes], options.rounds, options.jobs)
    print(table("a trivial function, 2 at a time", rows))
    print(promises())
    print("  " + ", ".join(peers.versions))


@asynccontextmanager
async def _treadles(
    places: Places, project: Path, options: argparse.Namespace
) -> AsyncIterator[list[TreadleLane]]:
    """Serve the project by this checkout, and by the other ones that are to be measured beside it."""
    async with AsyncExitStack() as stack:
        lanes = [TreadleLane(project, places.new("spool"), 2)]
        for number, other in enumerate(options.beside, 1):
            lanes.append(TreadleLane(project, places.new("spool"), 2, name=f"beside {number}", treadle=other))
        for lane in lanes:
            await stack.enter_async_context(lane)
        yield lanes


async def _containers(places: Places, engine: str, options: argparse.Namespace) -> None:
    if reason := await available(engine):
        print(f"{engine}: not measured: {reason}")
        return
    project = container_project(places.new("project"), engine)
    async with TreadleLane(project, places.new("spool"), jobs=4) as treadle:
        lanes = [treadle, run_lane(engine)]
        rows = await measure(lanes, max(options.rounds // 5, 5), max(options.jobs // 5, 20))
    print(table(f"a trivial {engine} container, 4 at a time", rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="jobs one after the other")
    parser.add_argument("--jobs", type=int, default=1000, help="jobs for the throughput")
    parser.add_argument("--queued", type=int, default=10_000, help="jobs that wait in a large spool")
    parser.add_argument("--ended", type=int, default=10_000, help="jobs that have ended in a large spool")
    parser.add_argument("--seconds", type=float, default=60.0, help="of the load by many clients")
    parser.add_argument(
        "--beside",
        nargs="*",
        type=Path,
        default=[],
        metavar="TREADLE",
        help="executables of other checkouts, measured in the same run (python and peers)",
    )
    cases = ["python", "peers", "numpy", "payload", "submits", "clients"]
    cases += ["backlog", "scale", "start", "docker", "podman"]
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases, help="what to measure")
    return parser.parse_args()


asyncio.run(main())
