from __future__ import annotations

import asyncio
import time

import pytest

from treadle.watch.arrivals import Arrivals
from treadle.watch.completions import Completions
from treadle_spool import AttemptRecord, Descriptor, LiveAttempt, State, Status, UnknownJob, now


def end(spool, name: str) -> None:
    spool.claim(name, LiveAttempt(attempt=AttemptRecord(number=1, runtime="x", started=now())))
    spool.finish(Status(id=name, service="s", status=State.SUCCEEDED, created=now(), ended=now()), b"1")


@pytest.fixture
async def completions(spool):
    arrivals = Arrivals(rescan=100)
    completions = Completions(spool)
    completions.attach(arrivals)
    async with arrivals:
        yield completions


async def test_who_waits_is_woken_by_the_end(spool, completions):
    spool.accept(Descriptor(service="s"), "mine")
    waiting = [asyncio.create_task(completions.status("mine", 60)) for _ in range(3)]
    await asyncio.sleep(0)
    start = time.monotonic()
    await asyncio.to_thread(end, spool, "mine")
    assert {(await each).status for each in waiting} == {State.SUCCEEDED}
    assert time.monotonic() - start < 5


async def test_a_job_that_has_ended_is_told_at_once(spool, completions):
    spool.accept(Descriptor(service="s"), "mine")
    end(spool, "mine")
    assert (await completions.status("mine", 60)).status is State.SUCCEEDED


async def test_after_the_time_the_job_is_told_as_it_is(spool, completions):
    spool.accept(Descriptor(service="s"), "mine")
    assert (await completions.status("mine", 0.05)).status is State.PENDING
    assert completions._waiting == {}


async def test_nobody_waits_for_a_job_that_is_not_there(completions):
    with pytest.raises(UnknownJob):
        await completions.status("nothing", 60)


async def test_an_end_that_the_watcher_missed_is_found_by_the_next_look(spool):
    arrivals = Arrivals(rescan=0.2)
    completions = Completions(spool)
    completions.attach(arrivals)
    spool.accept(Descriptor(service="s"), "mine")
    async with arrivals:
        arrivals._watchdog.unschedule_all()
        waiting = asyncio.create_task(completions.status("mine", 60))
        await asyncio.sleep(0)
        end(spool, "mine")
        assert (await waiting).status is State.SUCCEEDED
