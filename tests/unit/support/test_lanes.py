from __future__ import annotations

import asyncio

from treadle.support.lanes import Lane
from treadle.testing import until


async def test_items_are_taken_from_both_ends_in_turn():
    taken: list[int] = []

    async def work(items) -> None:
        taken.extend(items)

    lane = Lane(work)
    for number in range(6):
        lane.put(number)
    async with lane:
        await until(lambda: len(taken) == 6)
    assert taken == [0, 5, 1, 4, 2, 3]


async def test_a_batch_is_what_waits_up_to_its_size():
    batches: list[list[int]] = []

    async def work(items) -> None:
        batches.append(sorted(items))

    lane = Lane(work, batch=4)
    for number in range(6):
        lane.put(number)
    async with lane:
        await until(lambda: sum(map(len, batches)) == 6)
    assert [len(batch) for batch in batches] == [4, 2]


async def test_slow_items_do_not_keep_others_waiting():
    done: list[int] = []
    gate = asyncio.Event()

    async def work(items) -> None:
        if items[0] < 8:
            await gate.wait()
        done.extend(items)

    lane = Lane(work, workers=2, slow=0.02, most=10)
    for number in range(8):
        lane.put(number)
    async with lane:
        await until(lambda: len(lane) == 0)
        for number in range(8, 12):
            lane.put(number)
        await until(lambda: sorted(done) == [8, 9, 10, 11])
        gate.set()
        await until(lambda: len(done) == 12)
        for _ in range(20):
            lane.put(99)
        await until(lambda: len(done) == 32)
        await until(lambda: len(lane._tasks) == 2, "the end of the workers that were added")


async def test_a_failure_ends_no_worker(caplog):
    done: list[int] = []

    async def work(items) -> None:
        if items[0] == 0:
            raise ValueError
        done.extend(items)

    lane = Lane(work)
    async with lane:
        lane.put(0)
        await until(lambda: len(lane) == 0)
        lane.put(1)
        await until(lambda: done == [1])
    assert "failed" in caplog.text


async def test_what_is_put_back_comes_first():
    taken: list[int] = []

    async def work(items) -> None:
        if items == [1] and not taken:
            taken.append(0)
            lane.put_back(items)
            return
        taken.extend(items)

    lane = Lane(work)
    for number in (1, 2):
        lane.put(number)
    async with lane:
        await until(lambda: len(taken) == 3)
    assert taken[0] == 0
    assert sorted(taken[1:]) == [1, 2]


async def test_leaving_ends_the_work_in_progress():
    begun = asyncio.Event()

    async def work(_) -> None:
        begun.set()
        await asyncio.Event().wait()

    lane = Lane(work)
    async with lane:
        lane.put(1)
        await begun.wait()
    assert not lane._tasks
