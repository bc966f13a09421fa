from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from treadle.support.cancel_scope import CancelScope
from treadle.support.lifetime import Lifetime, background
from treadle.testing import until


class Ticker(Lifetime):
    """Counts in the background, and notes when it is left."""

    def __init__(self, fails: bool = False) -> None:
        self.ticks = 0
        self.left = False
        self._fails = fails

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        async with background(self._tick()):
            yield
        self.left = True

    async def _tick(self) -> None:
        while True:
            self.ticks += 1
            if self._fails:
                raise OSError("the clock is broken")
            await asyncio.sleep(0)


async def test_work_goes_on_until_the_block_is_left():
    async with Ticker() as ticker:
        await until(lambda: ticker.ticks > 3)
    ticks = ticker.ticks
    await asyncio.sleep(0)
    assert (ticker.ticks, ticker.left) == (ticks, True)


async def test_work_that_fails_is_logged_at_once(caplog):
    async with Ticker(fails=True):
        await until(lambda: "the clock is broken" in caplog.text)


async def test_an_error_of_the_block_is_raised_and_the_work_ended():
    with pytest.raises(ZeroDivisionError):
        async with Ticker():
            raise ZeroDivisionError


async def test_a_cancelled_scope_ends_its_block_alone():
    scope, behind = CancelScope(), False
    asyncio.get_running_loop().call_soon(scope.cancel)
    async with scope:
        await asyncio.Event().wait()
    behind = True
    assert behind
    scope.cancel()  # it has been left: nothing to cancel
    await asyncio.sleep(0)


async def test_a_scope_that_was_cancelled_before_ends_at_its_first_await():
    scope = CancelScope()
    scope.cancel()
    scope.cancel()
    reached = False
    async with scope:
        reached = True
        await asyncio.Event().wait()
    assert reached


async def test_the_task_s_own_cancellation_passes_through_a_scope():
    async def wait() -> None:
        async with CancelScope():
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_error_of_the_block_passes_through_a_scope():
    with pytest.raises(TimeoutError, match="its own"):
        async with CancelScope():
            raise TimeoutError("its own")
