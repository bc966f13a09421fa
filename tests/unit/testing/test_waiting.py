from __future__ import annotations

import asyncio
import threading

import pytest

from treadle.testing import eventually, until


async def test_until_returns_the_first_true_value_and_lets_other_tasks_run():
    found: list[str] = []
    asyncio.get_running_loop().call_later(0.02, found.append, "it")
    assert await until(lambda: found) == ["it"]


def test_eventually_returns_the_first_true_value():
    found: list[str] = []
    timer = threading.Timer(0.02, found.append, ["it"])
    timer.start()
    assert eventually(lambda: found, "a value") == ["it"]
    timer.join()


async def test_what_is_missing_is_named_after_the_timeout():
    with pytest.raises(AssertionError, match=r"the end of the job: not within 0\.02 s"):
        await until(lambda: False, "the end of the job", timeout=0.02)
    with pytest.raises(AssertionError, match=r"the end of the job: not within 0\.02 s"):
        eventually(lambda: None, "the end of the job", timeout=0.02)


async def test_an_error_of_the_condition_is_raised_at_once():
    with pytest.raises(ZeroDivisionError):
        await until(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        eventually(lambda: 1 / 0, "a value")
