"""What the engine tells in services.json: the newest that it knows, whatever the disk does."""

from __future__ import annotations

import time

from treadle.testing import until
from treadle_spool.services import ReloadRequest, ServiceList


async def test_a_list_that_is_written_slowly_does_not_replace_a_newer_one(harness, monkeypatch):
    harness.service()
    write, written = ServiceList.write, []

    def slow(self, root, draft):
        if self.reloaded is None:
            time.sleep(1)
        write(self, root, draft)
        written.append(self)

    async with harness.engine() as engine:
        monkeypatch.setattr(ServiceList, "write", slow)
        harness.service("comes")
        await until(lambda: "comes" in engine.services, "that it is served")
        request = ReloadRequest.make(engine.spool.root)
        await until(lambda: not request.is_there() and len(written) > 1, "both lists")
        listed = ServiceList.read(engine.spool.root)
        assert listed is not None
        assert listed.reloaded is not None
        assert listed.reloaded.added == ("comes",)
