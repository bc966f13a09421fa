from __future__ import annotations

import logging

from treadle import Settings
from treadle.extend import observers
from treadle.extend.loader import Plugins
from treadle.extend.observers import Observers
from treadle.testing import until

NOTES = """
from treadle import hookimpl
notes = []

@hookimpl
async def interim_result(job, value):
    notes.append(value)
"""
FAILS = """
from treadle import hookimpl

@hookimpl
def interim_result(value):
    raise ValueError("no")
"""
HANGS = """
import asyncio
from treadle import hookimpl

@hookimpl
async def interim_result(value):
    await asyncio.sleep(600)
"""


def plugins(folder, **files: str) -> Plugins:
    for name, code in files.items():
        (folder / f"{name}.py").write_text(code)
    return Plugins(Settings(spool=folder / "spool", plugins_dir=folder))


def notes(loaded: Plugins) -> list[bytes]:
    return next(
        each.function.__globals__["notes"]
        for name, each in loaded.implementations("interim_result")
        if name == "notes"
    )


async def test_notifications_come_in_order(tmp_path):
    loaded = plugins(tmp_path, notes=NOTES)
    async with Observers(loaded) as told:
        for number in range(50):
            told.tell("interim_result", job=None, value=number)
    assert notes(loaded) == list(range(50))


async def test_an_observer_that_fails_affects_no_other_and_is_logged_by_its_name(tmp_path, caplog):
    loaded = plugins(tmp_path, notes=NOTES, fails=FAILS)
    async with Observers(loaded) as told:
        told.tell("interim_result", job=None, value=1)
        told.tell("interim_result", job=None, value=2)
    assert notes(loaded) == [1, 2]
    assert caplog.text.count("plugin fails failed in interim_result") == 2


async def test_an_observer_that_hangs_is_abandoned(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(observers, "_CALL_TIMEOUT", 0.1)
    loaded = plugins(tmp_path, notes=NOTES, hangs=HANGS)
    async with Observers(loaded) as told:
        told.tell("interim_result", job=None, value=1)
        await until(lambda: "plugin hangs hangs in interim_result" in caplog.text)
    assert notes(loaded) == [1]


async def test_an_observer_that_hangs_does_not_keep_the_engine_from_its_end(tmp_path, caplog, monkeypatch):
    loaded = plugins(tmp_path, notes=NOTES, hangs=HANGS)
    async with Observers(loaded) as told:
        told.tell("interim_result", job=None, value=1)
        monkeypatch.setattr(observers, "_SHUTDOWN_TIMEOUT", 0.1)
    assert notes(loaded) == [1]
    assert "plugin hangs hangs" in caplog.text


async def test_an_observer_that_does_not_keep_up_loses_notifications(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(observers, "_QUEUE_LIMIT", 5)
    loaded = plugins(tmp_path, notes=NOTES)
    with caplog.at_level(logging.ERROR):
        async with Observers(loaded) as told:
            for number in range(20):
                told.tell("interim_result", job=None, value=number)
    assert notes(loaded) == list(range(5))
    assert "does not keep up" in caplog.text


async def test_a_listener_of_the_engine_is_called_at_once(tmp_path):
    heard = []
    told = Observers(plugins(tmp_path))
    told.listen("interim_result", lambda job, value: heard.append(value))
    told.tell("interim_result", job=None, value=1)
    told.tell("job_changed", job=None, before=None, after=None)
    assert heard == [1]
