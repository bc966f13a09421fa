from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from treadle.support.batching import BatchWorkers


class Double:
    """Doubles numbers, refuses odd ones, and records which it was given together."""

    def __init__(self) -> None:
        self.together: list[tuple[int, ...]] = []
        self.gate = threading.Event()
        self.begun = threading.Event()

    def work(self, numbers: Sequence[int]) -> list[int | Exception]:
        self.together.append(tuple(numbers))
        self.begun.set()
        self.gate.wait(20)
        return [ValueError(number) if number % 2 else 2 * number for number in numbers]


@pytest.fixture
def double():
    return Double()


async def test_each_item_gets_its_outcome(double):
    double.gate.set()
    async with BatchWorkers("test", double.work) as workers:
        outcomes = await asyncio.gather(*map(workers.do, range(100)), return_exceptions=True)
    assert outcomes[::2] == [2 * number for number in range(0, 100, 2)]
    assert [str(each) for each in outcomes[1::2]] == [str(number) for number in range(1, 100, 2)]


async def test_items_that_wait_are_one_batch_up_to_its_size(double):
    async with BatchWorkers("test", double.work, workers=1, batch_size=3) as workers:
        first = workers.do(0)
        await asyncio.to_thread(double.begun.wait, 20)
        others = [workers.do(number) for number in (2, 4, 6, 8)]
        double.gate.set()
        assert await asyncio.gather(first, *others) == [0, 4, 8, 12, 16]
    assert double.together == [(0,), (2, 4, 6), (8,)]


async def test_a_cancelled_item_delays_no_other(double):
    async with BatchWorkers("test", double.work, workers=1) as workers:
        first, second = workers.do(2), workers.do(4)
        first.cancel()
        double.gate.set()
        assert await second == 8


async def test_an_error_of_the_work_itself_is_raised_for_every_item(double):
    def fail(_: Sequence[int]) -> list[int | Exception]:
        raise OSError("no luck")

    async with BatchWorkers("test", fail) as workers:
        with pytest.raises(OSError, match="no luck"):
            await workers.do(1)


async def test_an_item_from_before_the_end_is_done(double):
    double.gate.set()
    async with BatchWorkers("test", double.work, workers=2, batch_size=4) as workers:
        items = [workers.do(2 * number) for number in range(50)]
    assert await asyncio.gather(*items) == [4 * number for number in range(50)]
