"""A block of code in one task that other code of the event loop may cancel, as in trio or anyio."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self


class CancelScope:
    """A block that `cancel` ends early: the awaits in it are interrupted, and the task goes on behind it.

    asyncio has no cancel scopes, but its timeouts are made of one: a timeout that is rescheduled to this
    moment interrupts its block and nothing else. The alternative, a task of its own for what is to be
    cancelled, costs each job a task and a switch.
    """

    def __init__(self) -> None:
        self.cancelled = False
        """Whether `cancel` was called; once it was, a block that is entered ends at its first await."""
        self._timeout = asyncio.timeout(None)
        self._entered = False

    def cancel(self) -> None:
        """End the block, now or when it is entered; without effect once the block has been left."""
        if not self.cancelled:
            self.cancelled = True
            if self._entered:
                self._expire()

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._entered = True
        if self.cancelled:
            self._expire()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Leave the block; an interruption by `cancel` ends here."""
        self._entered = False
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:  # the block's own TimeoutError is not raised here, but passes through
            return True
        return False

    def _expire(self) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time())
