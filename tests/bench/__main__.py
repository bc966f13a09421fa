"""`make bench`: Treadle beside other ways to run the same job, in one run on one machine."""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.bench import programs
from tests.bench.backlog import backlog
from tests.bench.clients import clients
from tests.bench.container_lanes import available, container_project, run_lane
from tests.bench.measure import header, measure, table
from tests.bench.peer_lanes import Peers, promises
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
        _keep_apart(folder)
        if "python" in options.cases:
            await _python(Path(folder), options)
        if "peers" in options.cases:
            await _peers(Path(folder), options)
        if "numpy" in options.cases:
            rows = await programs.numpy(Path(folder, "numpy"), options.rounds // 2, options.jobs // 2)
            print(table("a job that imports numpy, 2 at a time", rows))
        if "payload" in options.cases:
            rows = await programs.payload(
                Path(folder, "payload"), max(options.rounds // 5, 5), max(options.jobs // 10, 20)
            )
            print(table("10 MB in, 10 MB out, 2 at a time", rows))
        if "backlog" in options.cases:
            few = options.jobs // 2
            print(
                await backlog(
                    make_project(Path(folder, "bench")), Path(folder, "backlog"), options.queued, few
                )
            )
        if "start" in options.cases:
            print(await start(Path(folder), options.queued))
        if "clients" in options.cases:
            print(await clients(Path(folder, "clients"), Path(folder, "spool-clients"), 500, options.seconds))
        if "submits" in options.cases:
            print(await submits(make_project(Path(folder, "bench")), Path(folder, "submits"), options.jobs))
        if "scale" in options.cases:
            print(scale(Path(folder), options.queued, options.ended))
        for engine in ("docker", "podman"):
            if engine in options.cases:
                await _containers(Path(folder), engine, options)


def _keep_apart(folder: str) -> None:
    """Have ext4 put the folder's subfolders far from each other, and from what was deleted just before.

    Without a journal it does not give the inode of a deleted file away again for some minutes, and looks
    through all of them for each new file: the lanes would pay for what another one, or the run before,
    has deleted. Other file systems have no such flag, and no such need.
    """
    with suppress(FileNotFoundError):
        subprocess.run(["chattr", "+T", folder], check=False, stderr=subprocess.DEVNULL)


async def _python(folder: Path, options: argparse.Namespace) -> None:
    project = make_project(folder / "bench")
    async with TreadleLane(project, folder / "spool", jobs=2) as treadle:
        rows = await measure([treadle, PlainStart(project)], options.rounds, options.jobs)
    print(table("a trivial function, 2 at a time", rows))


async def _peers(folder: Path, options: argparse.Namespace) -> None:
    project = make_project(folder / "bench")
    peers = Peers(folder / "peers", project, print)
    async with TreadleLane(project, folder / "spool-peers", jobs=2) as treadle, peers as lanes:
        rows = await measure([treadle, *lanes], options.rounds, options.jobs)
    print(table("a trivial function, 2 at a time", rows))
    print(promises())
    print("  " + ", ".join(peers.versions))


async def _containers(folder: Path, engine: str, options: argparse.Namespace) -> None:
    if reason := await available(engine):
        print(f"{engine}: not measured: {reason}")
        return
    project = container_project(folder / f"bench-{engine}", engine)
    async with TreadleLane(project, folder / f"spool-{engine}", jobs=4) as treadle:
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
    cases = ["python", "peers", "numpy", "payload", "submits", "clients"]
    cases += ["backlog", "scale", "start", "docker", "podman"]
    parser.add_argument("--cases", nargs="+", choices=cases, default=cases, help="what to measure")
    return parser.parse_args()


asyncio.run(main())
