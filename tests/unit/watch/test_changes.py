from __future__ import annotations

import asyncio
import errno

import pytest
from asyncinotify import Inotify

from treadle.watch.changes import Changes


async def test_a_follower_of_a_folder_is_woken_by_a_write_in_it(tmp_path):
    paths = [tmp_path / "a" / "file", tmp_path / "b" / "file"]
    for path in paths:
        path.parent.mkdir()
        path.touch()
    async with Changes() as changes:
        with changes.inside(tmp_path / "a") as first, changes.inside(tmp_path / "b") as second:
            paths[0].write_text("x")
            async with asyncio.timeout(10):
                await first.wait()
            assert not second.is_set()


async def test_a_folder_that_goes_away_is_no_error(tmp_path):
    (tmp_path / "a").mkdir()
    async with Changes() as changes:
        with changes.inside(tmp_path / "a"), changes.inside(tmp_path) as later:
            (tmp_path / "a").rmdir()
            (tmp_path / "b").touch()  # its event comes after that of the folder
            async with asyncio.timeout(10):
                await later.wait()


async def test_a_folder_may_be_followed_again(tmp_path):
    async with Changes() as changes:
        for _ in range(3):
            with changes.inside(tmp_path, "a") as grown:
                with (tmp_path / "a").open("a") as file:
                    file.write("x")
                async with asyncio.timeout(10):
                    await grown.wait()


async def test_many_may_follow_one_folder_each_until_it_leaves(tmp_path):
    async with Changes() as changes:
        with changes.inside(tmp_path) as first:
            with changes.inside(tmp_path) as second:
                (tmp_path / "a").touch()
                async with asyncio.timeout(10):
                    await first.wait()
                    await second.wait()
            first.clear()
            (tmp_path / "b").touch()
            async with asyncio.timeout(10):
                await first.wait()


async def test_a_follower_of_a_name_is_woken_by_that_alone(tmp_path):
    async with Changes() as changes:
        with changes.inside(tmp_path, "mine") as mine, changes.inside(tmp_path) as any_:
            (tmp_path / "other").mkdir()
            async with asyncio.timeout(10):
                await any_.wait()
            assert not mine.is_set()
            (tmp_path / "mine").mkdir()
            async with asyncio.timeout(10):
                await mine.wait()


async def test_a_folder_that_is_renamed_wakes_its_followers(tmp_path):
    (tmp_path / "run").mkdir()
    async with Changes() as changes:
        with changes.inside(tmp_path / "run") as changed:
            (tmp_path / "run").rename(tmp_path / "done")
            async with asyncio.timeout(10):
                await changed.wait()


@pytest.mark.parametrize("limit", ["instances", "watches"])
async def test_where_inotify_is_at_its_limit_followers_are_woken_from_time_to_time(
    tmp_path, monkeypatch, caplog, limit
):
    def fail(*_: object) -> None:
        raise OSError(errno.EMFILE if limit == "instances" else errno.ENOSPC, "no more")

    monkeypatch.setattr(Inotify, "__init__" if limit == "instances" else "add_watch", fail)
    monkeypatch.setattr(Inotify, "__del__", lambda _: None, raising=False)
    async with Changes() as changes:
        with changes.inside(tmp_path) as first, changes.inside(tmp_path, "name") as second:
            async with asyncio.timeout(10):
                await first.wait()
                await second.wait()
            first.clear()
            async with asyncio.timeout(10):
                await first.wait()
        with pytest.raises(FileNotFoundError), changes.inside(tmp_path / "nowhere"):
            pass
    assert len([each for each in caplog.records if "inotify" in each.message]) == 1
