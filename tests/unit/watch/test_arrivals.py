from __future__ import annotations

import asyncio
import errno
import logging
import os

import pytest

from treadle.testing import until
from treadle.watch import arrivals as module
from treadle.watch.arrivals import ARRIVALS, FOLDERS, LINKS, UNLINKS, Arrivals
from treadle.watch.folder_watch import FolderWatch


class Looks:
    """Takes down what a watcher tells."""

    def __init__(self) -> None:
        self.told: list[str | None] = []
        self._news = asyncio.Event()

    def __call__(self, name: str | None) -> None:
        self.told.append(name)
        self._news.set()

    async def until(self, name: str | None, times: int = 1) -> None:
        async with asyncio.timeout(10):
            while self.told.count(name) < times:
                await self._news.wait()
                self._news.clear()


async def test_everything_is_looked_at_once_at_the_start(tmp_path):
    looks = Looks()
    arrivals = Arrivals(rescan=100)
    arrivals.watch(tmp_path, ARRIVALS, looks)
    async with arrivals:
        assert looks.told == [None]


@pytest.mark.parametrize("arrival", ["link", "rename in", "write", "rename within"])
async def test_an_arrival_is_reported_by_its_name(tmp_path, arrival):
    looks = Looks()
    (tmp_path / "watched").mkdir()
    arrivals = Arrivals(rescan=100)
    arrivals.watch(tmp_path / "watched", ARRIVALS, looks)
    outside, place = tmp_path / "outside", tmp_path / "watched" / "new"
    async with arrivals:
        if arrival == "write":
            place.write_text("x")
        elif arrival == "rename within":
            (tmp_path / "watched" / ".draft").write_text("x")
            (tmp_path / "watched" / ".draft").rename(place)
        else:
            outside.write_text("x")
            place.hardlink_to(outside) if arrival == "link" else outside.rename(place)
        await looks.until("new")


async def test_several_may_watch_one_folder_for_different_things(tmp_path):
    links, unlinks, folders = Looks(), Looks(), Looks()
    (tmp_path / "watched").mkdir()
    (tmp_path / "file").write_text("x")
    arrivals = Arrivals(rescan=100)
    for kinds, looks in ((LINKS, links), (UNLINKS, unlinks), (FOLDERS, folders)):
        arrivals.watch(tmp_path / "watched", kinds, looks)
    async with arrivals:
        (tmp_path / "watched" / "new").hardlink_to(tmp_path / "file")
        await links.until("new")
        (tmp_path / "watched" / "new").unlink()
        await unlinks.until("new")
        (tmp_path / "watched" / "folder").mkdir()
        await folders.until("folder")
    assert (links.told, unlinks.told, folders.told) == ([None, "new"], [None, "new"], [None, "folder"])


async def test_from_time_to_time_everything_is_looked_at(tmp_path):
    looks = Looks()
    arrivals = Arrivals(rescan=0.05)
    arrivals.watch(tmp_path, ARRIVALS, looks)
    async with arrivals:
        await looks.until(None, times=3)


@pytest.mark.parametrize("what", ["observer", "emitter"])
async def test_a_watcher_that_dies_is_started_again_and_everything_looked_at(tmp_path, what):
    looks = Looks()
    arrivals = Arrivals(rescan=0.2)
    arrivals.watch(tmp_path, ARRIVALS, looks)
    async with arrivals:
        (folder,) = arrivals._folders
        watchdog = folder._watchdog
        if what == "observer":
            watchdog.stop()
            watchdog.join()
        else:
            (emitter,) = watchdog.emitters
            emitter.stop()
            emitter.join()
        assert arrivals.problems()
        await until(lambda: arrivals.restarts, "another watcher")
        assert arrivals.problems() == []
        (tmp_path / "new").write_text("x")
        await looks.until("new")


async def test_a_name_that_is_not_utf8_is_reported(tmp_path):
    looks = Looks()
    arrivals = Arrivals(rescan=100)
    arrivals.watch(tmp_path, ARRIVALS, looks)
    async with arrivals:
        (tmp_path / "\udcff").write_text("x")
        await looks.until("\udcff")


async def test_a_folder_that_is_removed_and_made_again_is_watched_again(tmp_path):
    looks = Looks()
    (tmp_path / "watched").mkdir()
    arrivals = Arrivals(rescan=100)
    arrivals.watch(tmp_path / "watched", ARRIVALS, looks)
    async with arrivals:
        (tmp_path / "watched").rmdir()
        await until(lambda: any("is missing" in problem for problem in arrivals.problems()), "the problem")
        (tmp_path / "watched").mkdir()
        await until(lambda: not arrivals.problems() and not arrivals.notes(), "the new watch")
        assert arrivals.problems() == []
        (tmp_path / "watched" / "new").write_text("x")
        await looks.until("new")


@pytest.mark.parametrize("how", ["at once", "by another folder"])
async def test_a_folder_that_is_replaced_is_watched(tmp_path, how):
    looks = Looks()
    (tmp_path / "watched").mkdir()
    arrivals = Arrivals(rescan=100)
    arrivals.watch(tmp_path / "watched", ARRIVALS, looks)
    async with arrivals:
        if how == "at once":
            (tmp_path / "watched").rmdir()
        else:
            (tmp_path / "watched").rename(tmp_path / "away")
        (tmp_path / "watched").mkdir()
        await until(lambda: arrivals.restarts, "the new watch")
        (tmp_path / "watched" / "new").write_text("x")
        await looks.until("new")


async def test_a_folder_behind_a_link_is_watched(tmp_path):
    looks = Looks()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "watched").symlink_to(tmp_path / "elsewhere")
    arrivals = Arrivals(rescan=100)
    arrivals.watch(tmp_path / "watched", ARRIVALS, looks)
    async with arrivals:
        (tmp_path / "watched" / "new").write_text("x")
        await looks.until("new")


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC, errno.ENOSYS])
async def test_a_folder_that_can_t_be_watched_is_polled_and_that_is_said_once(
    tmp_path, monkeypatch, caplog, code
):
    def fail(_: FolderWatch) -> None:
        raise OSError(code, os.strerror(code))

    looks = Looks()
    folders = [tmp_path / name for name in ("a", "b")]
    arrivals = Arrivals(rescan=100)
    for folder in folders:
        folder.mkdir()
        arrivals.watch(folder, ARRIVALS, looks)
    monkeypatch.setattr(module, "_REVIVAL_INTERVAL", 0.3)
    with monkeypatch.context() as limited:
        limited.setattr(FolderWatch, "_start", fail)
        async with arrivals:
            for number in range(3):
                before = looks.told.count(None)
                (folders[0] / str(number)).write_text("x")
                await looks.until(None, times=before + 1)
            (said,) = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
            assert said.startswith("a/, b/ is looked at every 0.25 s: ")
            assert arrivals.problems() == []
            assert "a/, b/ is polled" in arrivals.notes()[0]
            limited.undo()
            await until(lambda: not arrivals.problems() and not arrivals.notes(), "watching again")
            (folders[0] / "new").write_text("x")
            await looks.until("new")
