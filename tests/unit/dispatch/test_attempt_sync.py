"""An attempt that lasts is made durable, and nothing waits for that."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from functools import partial

import pytest

from treadle.dispatch.toolbox import Toolbox
from treadle.testing import Call, calls, end, ended, submit, until
from treadle_spool import Owner, State


@pytest.fixture
def syncs(monkeypatch) -> Callable[..., list[str]]:
    """Have attempts synced after 0.05 s, after some work of the test's; returns the list of their jobs."""

    def begin(before: Callable[[list[str]], object] = len) -> list[str]:
        monkeypatch.setattr("treadle.engine.Toolbox", partial(Toolbox, sync_after=0.05))
        synced: list[str] = []
        sync = Owner.sync_attempt

        def noted(owner: Owner, name: str) -> None:
            synced.append(name)
            before(synced)
            sync(owner, name)

        monkeypatch.setattr(Owner, "sync_attempt", noted)
        return synced

    return begin


async def test_an_attempt_that_lasts_is_made_durable_once(harness, syncs):
    harness.service(waits=True)
    synced = syncs()
    async with harness.engine() as engine:
        first = await submit(engine)
        await until(lambda: synced)
        second = await submit(engine)
        await until(lambda: second in synced)
        end(engine, first, code=0)
        assert (await ended(engine, first)).status is State.SUCCEEDED
    assert synced == [first, second]


async def test_a_short_attempt_is_not(harness, syncs, monkeypatch):
    harness.service()
    synced = syncs()
    monkeypatch.setattr("treadle.engine.Toolbox", Toolbox)
    async with harness.engine() as engine:
        await ended(engine, await submit(engine))
    assert synced == []


async def test_an_attempt_that_is_being_started_is_not(harness, syncs):
    """Its record would be durable, and what identifies it would not: it would be started again for ever."""
    harness.service("slow", start="slow")
    harness.service("test", waits=True)
    synced = syncs()
    async with harness.engine() as engine:
        slow = await submit(engine, service="slow")
        await until(lambda: Call("start", slow, 1) in calls(engine))
        job = await submit(engine)
        await until(lambda: synced)
        assert synced == [job]


async def test_an_adopted_attempt_is_made_durable_at_once_if_it_has_lasted(harness, syncs, monkeypatch):
    harness.service(waits=True)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: Call("start", job, 1) in calls(engine))
    synced = syncs()
    async with harness.engine() as engine:
        await until(lambda: synced == [job])


async def test_a_disk_that_refuses_is_tried_again(harness, syncs):
    harness.service(waits=True)

    def refuse_once(synced: list[str]) -> None:
        if len(synced) == 1:
            raise OSError(errno.EIO, "Input/output error")

    synced = syncs(refuse_once)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: synced == [job, job])


async def test_a_disk_that_hangs_does_not_keep_the_job_s_end_waiting(harness, syncs):
    harness.service(waits=True)
    released = threading.Event()
    synced = syncs(lambda _: released.wait(60))
    try:
        async with harness.engine() as engine:
            job = await submit(engine)
            await until(lambda: synced)
            end(engine, job, code=0)
            assert (await ended(engine, job)).status is State.SUCCEEDED
            released.set()
    finally:
        released.set()


@pytest.mark.parametrize("error", [ZeroDivisionError(), OSError(errno.ELOOP, "a loop"), FileNotFoundError()])
async def test_what_fails_there_is_no_failure_of_the_job(harness, syncs, error):
    harness.service(waits=True)

    def fail(_: list[str]) -> None:
        raise error

    synced = syncs(fail)
    async with harness.engine() as engine:
        job = await submit(engine)
        await until(lambda: synced)
        end(engine, job, code=0)
        assert (await ended(engine, job)).status is State.SUCCEEDED
