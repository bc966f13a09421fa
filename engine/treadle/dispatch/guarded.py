"""Contexts of plugins, entered around an attempt: what fails in them is logged, and hurts nobody."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from treadle.extend.loader import Plugins
from treadle.interface.attempt import Attempt

log = logging.getLogger(__name__)


class Guarded:
    """A plugin's async context; an exception when it is left is logged, and not raised."""

    def __init__(self, name: str, context: object) -> None:
        self._name = name
        self._context: object = context

    async def __aenter__(self) -> None:
        await self._context.__aenter__()  # type: ignore[attr-defined]  # if it is no context, that is the plugin's error

    async def __aexit__(self, *error: object) -> None:
        try:
            await self._context.__aexit__(*error)  # type: ignore[attr-defined]  # it has been entered
        except Exception:  # a plugin's code may raise anything
            log.exception("plugin %s failed in leaving wrap_run", self._name)


@asynccontextmanager
async def wrapped(plugins: Plugins, attempt: Attempt) -> AsyncIterator[None]:
    """Enter the plugins' wrap_run contexts around an attempt, except those that fail."""
    async with AsyncExitStack() as stack:
        for name, implementation in plugins.implementations("wrap_run"):
            try:
                context = implementation(attempt=attempt)
                await stack.enter_async_context(Guarded(name, context))
            except Exception:  # a plugin's code may raise anything
                log.exception("plugin %s failed in wrap_run", name)
        yield
