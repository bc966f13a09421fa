"""Files that are written where a program may have touched everything."""

from __future__ import annotations

import os

import pytest

from treadle import replace_file


def test_a_reader_of_the_old_file_keeps_it_whole(tmp_path):
    replace_file(tmp_path, "record", b"old")
    with (tmp_path / "record").open("rb") as file:
        replace_file(tmp_path, "record", b"new and longer")
        assert file.read() == b"old"
    assert (tmp_path / "record").read_bytes() == b"new and longer"
    assert [each.name for each in tmp_path.iterdir()] == ["record"]


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "place",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/full"),
        lambda path: path.symlink_to(path),
        lambda path: (path / "inside").mkdir(parents=True),
        lambda path: os.link(path.parent.parent / "precious", path),
    ],
    ids=["fifo", "device", "loop", "folder", "hard link"],
)
def test_whatever_has_the_name_is_replaced_and_not_written_to(tmp_path, place):
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "job").mkdir()
    place(tmp_path / "job" / "record")
    replace_file(tmp_path / "job", "record", b"content")
    assert (tmp_path / "job" / "record").read_bytes() == b"content"
    assert not (tmp_path / "job" / "record").is_symlink()
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "job").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        replace_file(tmp_path / "job", "record", b"content")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    replace_file(tmp_path, "record", b"old")

    def full_disk(*_: object) -> int:
        raise OSError("full")

    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(OSError, match="full"):
        replace_file(tmp_path, "record", b"new")
    monkeypatch.undo()
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("record", b"old")]
