from __future__ import annotations

import errno
import os

import pytest

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


def test_a_file_somebody_else_wrote_is_not_synced_through_a_link(tmp_path):
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    durable.sync_file(tmp_path / "real")
    with pytest.raises(OSError, match="symbolic links"):
        durable.sync_file(tmp_path / "link")
