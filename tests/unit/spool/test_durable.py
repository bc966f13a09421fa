from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from treadle.testing import eventually
from treadle_spool import durable


def test_a_file_is_written_whole_in_however_many_pieces(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr("os.write", lambda fd, data: write(fd, bytes(data)[:3]))
    durable.write(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_nothing_is_overwritten(tmp_path):
    durable.write(tmp_path / "file", b"first")
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"


def test_a_link_in_its_place_is_not_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        durable.write(tmp_path / "link", b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_whose_fsync_fails_is_removed(tmp_path, monkeypatch):
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        durable.write(tmp_path / "file", b"x")
    assert not (tmp_path / "file").exists()


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_files_that_were_made_are_brought_to_the_disk_and_closed(tmp_path, monkeypatch):
    synced: list[Path] = []
    monkeypatch.setattr("os.fsync", lambda fd: synced.append(Path(f"/proc/self/fd/{fd}").readlink()))
    (tmp_path / "written").write_bytes(b"by another process")
    before = open_files()
    with durable.NewFiles() as files:
        files.make(tmp_path / "mine", b"content")
        files.make(tmp_path / "theirs", tmp_path / "written")
        assert synced == []
        files.sync()
    assert synced == [tmp_path / "mine", tmp_path / "theirs"]
    assert (tmp_path / "mine").read_bytes() == b"content"
    assert (tmp_path / "theirs").samefile(tmp_path / "written")
    assert open_files() == before


@pytest.mark.parametrize("call", ["os.fsync", "os.write", "os.link"])
def test_files_of_which_one_can_t_be_made_or_synced_are_closed_all_the_same(tmp_path, monkeypatch, call):
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    def make() -> None:
        with durable.NewFiles() as files:
            files.make(tmp_path / "empty", b"")
            files.make(tmp_path / "one", b"x")
            files.make(tmp_path / "two", tmp_path / "one")
            files.sync()

    before = open_files()
    monkeypatch.setattr(call, fail)
    with pytest.raises(OSError, match="Input/output"):
        make()
    assert open_files() == before


def test_a_file_of_another_writer_is_not_synced_through_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with durable.NewFiles() as files, pytest.raises(OSError, match="symbolic link"):
        files.make(tmp_path / "name", tmp_path / "link")


class Calls:
    """The calls that a number of threads make at the same time."""

    def __init__(self, total: int, by: int) -> None:
        self._total, self._threads = total, by
        self._begun = self._ended = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._begun += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._ended += 1

    def wait(self) -> None:
        """Wait until every thread that has a call left to make is in one."""
        eventually(self._all_call, "a call of each thread")

    def _all_call(self) -> bool:
        with self._lock:
            return self._begun - self._ended == min(self._threads, self._total - self._ended)


def test_threads_share_the_fsync_of_a_folder_and_none_is_let_go_early(tmp_path, monkeypatch):
    begun, durable_names, calls = 0, set(), Calls(200, by=16)

    def sync(folder: Path) -> None:
        nonlocal begun
        begun += 1
        there = {path.name for path in folder.iterdir()}
        calls.wait()
        durable_names.update(there)

    def make(number: int) -> bool:
        (tmp_path / str(number)).touch()
        with calls:
            shared()
        return str(number) in durable_names

    monkeypatch.setattr(durable, "sync_folder", sync)
    shared = durable.SharedSync(tmp_path)
    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(make, range(200)))
    assert begun < 100


def test_a_shared_fsync_that_fails_raises_in_every_call_that_waited_and_in_no_other(tmp_path, monkeypatch):
    bad, calls = True, Calls(20, by=8)

    def sync(_: Path) -> None:
        fails = bad
        calls.wait()
        if fails:
            raise OSError(errno.EIO, "Input/output error")

    def make(_: int) -> bool:
        try:
            with calls:
                shared()
        except OSError as error:
            return error.errno != errno.EIO
        return True

    monkeypatch.setattr(durable, "sync_folder", sync)
    shared = durable.SharedSync(tmp_path)
    with ThreadPoolExecutor(8) as threads:
        assert not any(threads.map(make, range(20)))
        bad, calls = False, Calls(20, by=8)
        assert all(threads.map(make, range(20)))
