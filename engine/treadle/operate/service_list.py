"""What the engine tells others of its services in the spool, and what they ask: services.json, and reload."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from treadle.intake.catalogue import Change
from treadle.intake.reloader import Reloader
from treadle.support.lifetime import Lifetime, background
from treadle_spool import Spool, now
from treadle_spool.services import ListedService, Reloaded, ReloadRequest, ServiceList

log = logging.getLogger(__name__)

_LOOK = 0.3
"""Seconds between two looks for a request: one lstat, where a watch would need an inotify instance."""


class ServiceListing(Lifetime):
    """Keeps services.json as the catalogue is, and does what `reload` asks, from `async with` to its end."""

    def __init__(self, spool: Spool, reloader: Reloader) -> None:
        self._spool = spool
        self._reloader = reloader
        self._reloaded: Reloaded | None = None
        self._added: set[str] = set()
        self._changed: set[str] = set()
        self._removed: set[str] = set()
        """What has become different since the last reload that was asked for, or the start."""
        self._stale = asyncio.Event()
        self._writing = asyncio.Lock()
        self._refused: ReloadRequest | None = None
        """A request that can't be removed."""
        reloader.listen(self._note)

    @asynccontextmanager
    async def _lifetime(self) -> AsyncIterator[None]:
        await self._write()
        async with background(self._keep()), background(self._obey()):
            yield

    def _note(self, change: Change) -> None:
        """Add a change to those that the next reload tells of: what came and went is none."""
        for name in change.added:
            (self._changed if name in self._removed else self._added).add(name)
        self._removed -= set(change.added)
        self._changed |= set(change.changed) - self._added
        self._removed |= set(change.removed) - self._added
        self._added -= set(change.removed)
        self._changed -= set(change.removed)
        self._stale.set()

    async def _keep(self) -> None:
        while True:
            await self._stale.wait()
            self._stale.clear()
            await self._write()

    async def _obey(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            try:
                request = ReloadRequest.find(self._spool.root)
                if request is not None and request != self._refused:
                    await self._reload(request)
            except OSError as error:
                log.error("the request to reload can't be read: %s; trying again", error)

    async def _reload(self, request: ReloadRequest) -> None:
        """Read all projects, tell what is different, and remove the request."""
        await self._reloader.reload()
        self._reloaded = Reloaded(
            at=now(),
            added=tuple(sorted(self._added)),
            changed=tuple(sorted(self._changed)),
            removed=tuple(sorted(self._removed)),
        )
        self._added, self._changed, self._removed = set(), set(), set()
        await self._write()
        try:
            request.remove()  # one that was touched since is found at the next look
        except OSError as error:
            log.error("%s can't be removed: %s; it is left alone until it changes", request.path, error)
            self._refused = request

    async def _write(self) -> None:
        async with self._writing:  # else an older list may replace a newer one
            await self._write_now()

    async def _write_now(self) -> None:
        catalogue = self._reloader.catalogue
        working = [ListedService(name=name, project=str(each.path)) for name, each in catalogue.items()]
        broken = [
            ListedService(name=each.name, project=str(each.path), error=each.reason)
            for each in catalogue.broken
        ]
        listed = ServiceList(services=(*working, *broken), reloaded=self._reloaded)
        try:
            await asyncio.to_thread(listed.write, self._spool.root, self._spool.new_in_tmp())
        except OSError as error:
            log.error("the list of services can't be written: %s", error)
