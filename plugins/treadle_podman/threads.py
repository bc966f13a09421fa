"""Calls of a client that blocks, each in a thread that keeps nobody from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Answer = TypeVar("Answer")


async def in_thread(call: Callable[[], Answer]) -> Answer:
    """Call in a thread and return what it returns.

    Unlike asyncio's executor, nobody waits for the thread at the end: a call may block as long as a job runs.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()

    def settle(value: Answer | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(value)  # type: ignore[arg-type]  # what the call has returned

    def work() -> None:
        value, fault = None, None
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001  # it is raised where the answer is awaited
            fault = error
        with suppress(RuntimeError):  # the loop has been closed: nobody awaits the answer
            loop.call_soon_threadsafe(settle, value, fault)

    threading.Thread(target=work, name="podman", daemon=True).start()
    return await answer
