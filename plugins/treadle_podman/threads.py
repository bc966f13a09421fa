"""Blocking calls, each in a daemon thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

Answer = TypeVar("Answer")


async def in_thread(call: Callable[[], Answer]) -> Answer:
    """Call a function in a new thread and return its result, or raise its error.

    A call may block as long as a job runs. So the process's end does not wait for the thread, as it would
    with asyncio's executor. If the caller is cancelled, the thread continues and its result is dropped.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(value: Answer | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]  # the call's own result

    def run() -> None:
        result, fault = None, None
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001  # it is raised where the future is awaited
            fault = error
        with suppress(RuntimeError):  # the loop is closed, so the future is not awaited
            loop.call_soon_threadsafe(settle, result, fault)

    threading.Thread(target=run, name="podman", daemon=True).start()
    return await future
