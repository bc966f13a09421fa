from __future__ import annotations

import asyncio
import time

import pytest

from treadle.testing import live_attempt, until
from treadle.watch.arrivals import Arrivals
from treadle.watch.completions import Completions
from treadle_spool import Descriptor, State, Status, UnknownJob, now


def end(owner, name: str) -> None:
    owner.claim(name, live_attempt())
    owner.finish(Status(id=name, service="s", status=State.SUCCEEDED, created=now(), ended=now()), b"1")


@pytest.fixture
async def completions(spool):
    arrivals = Arrivals(rescan=100)
    completions = Completions(spool)
    completions.attach(arrivals)
    async with arrivals:
        yield completions


async def test_a_waiting_call_is_woken_by_the_end(spool, owner, completions):
    spool.accept(Descriptor(service="s"), "mine")
    waiting = [asyncio.create_task(completions.status("mine", 60)) for _ in range(3)]
    await until(lambda: len(completions._waiting.get("mine", ())) == 3)
    start = time.monotonic()
    await asyncio.to_thread(end, owner, "mine")
    assert {(await each).status for each in waiting} == {State.SUCCEEDED}
    assert time.monotonic() - start < 5


async def test_a_job_that_has_ended_is_reported_at_once(spool, owner, completions):
    spool.accept(Descriptor(service="s"), "mine")
    end(owner, "mine")
    assert (await completions.status("mine", 60)).status is State.SUCCEEDED


async def test_after_the_time_the_job_is_reported_as_it_is(spool, completions):
    spool.accept(Descriptor(service="s"), "mine")
    assert (await completions.status("mine", 0.05)).status is State.PENDING
    assert completions._waiting == {}


async def test_waiting_for_an_unknown_job_fails_at_once(completions):
    with pytest.raises(UnknownJob):
        await completions.status("nothing", 60)


async def test_an_end_that_the_watcher_missed_is_found_by_the_next_rescan(spool, owner):
    arrivals = Arrivals(rescan=0.2)
    completions = Completions(spool)
    completions.attach(arrivals)
    spool.accept(Descriptor(service="s"), "mine")
    async with arrivals:
        (folder,) = arrivals._folders
        folder._watchdog.unschedule_all()
        waiting = asyncio.create_task(completions.status("mine", 60))
        await until(lambda: completions._waiting.get("mine"))
        end(owner, "mine")
        assert (await waiting).status is State.SUCCEEDED
