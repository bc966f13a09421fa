from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from treadle.support.batching import BatchWorkers


class Double:
    """Doubles numbers, refuses odd ones, and remembers which it was given together."""

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


async def test_each_piece_gets_what_came_of_it(double):
    double.gate.set()
    async with BatchWorkers("test", double.work) as crew:
        outcomes = await asyncio.gather(*map(crew.do, range(100)), return_exceptions=True)
    assert outcomes[::2] == [2 * number for number in range(0, 100, 2)]
    assert [str(each) for each in outcomes[1::2]] == [str(number) for number in range(1, 100, 2)]


async def test_what_waits_is_taken_together_and_not_more_than_may_be(double):
    async with BatchWorkers("test", double.work, workers=1, batch_size=3) as crew:
        first = crew.do(0)
        await asyncio.to_thread(double.begun.wait, 20)
        others = [crew.do(number) for number in (2, 4, 6, 8)]
        double.gate.set()
        assert await asyncio.gather(first, *others) == [0, 4, 8, 12, 16]
    assert double.together == [(0,), (2, 4, 6), (8,)]


async def test_one_who_waits_no_more_holds_up_nobody(double):
    async with BatchWorkers("test", double.work, workers=1) as crew:
        first, second = crew.do(2), crew.do(4)
        first.cancel()
        double.gate.set()
        assert await second == 8


async def test_an_error_of_the_work_itself_is_told_to_all(double):
    def fail(_: Sequence[int]) -> list[int | Exception]:
        raise OSError("no luck")

    async with BatchWorkers("test", fail) as crew:
        with pytest.raises(OSError, match="no luck"):
            await crew.do(1)


async def test_what_was_handed_in_before_the_end_is_done(double):
    double.gate.set()
    async with BatchWorkers("test", double.work, workers=2, batch_size=4) as crew:
        pieces = [crew.do(2 * number) for number in range(50)]
    assert await asyncio.gather(*pieces) == [4 * number for number in range(50)]
