"""The one helper that opens what a program could have touched, and the removal of what it has made."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from treadle_spool.removal import remove_tree
from treadle_spool.untrusted import UntrustedFile, open_untrusted, read_untrusted, size_untrusted

APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND


def fifo(path: Path) -> None:
    os.mkfifo(path)


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def link_to_a_file(path: Path) -> None:
    path.with_name("real").write_bytes(b"secret")
    path.symlink_to(path.with_name("real"))


def link_to_nothing(path: Path) -> None:
    path.symlink_to(path.with_name("nothing"))


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path) -> None:
    path.mkdir()


MISPLACED = [fifo, listening, link_to_a_file, link_to_nothing, link_to_itself, link_to_a_device, folder]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("make", MISPLACED)
@pytest.mark.parametrize(
    "access", [read_untrusted, size_untrusted, lambda path: open_untrusted(path, APPEND)]
)
def test_only_a_regular_file_is_opened(tmp_path, make, access):
    make(tmp_path / "file")
    with pytest.raises(UntrustedFile, match="file is "):
        access(tmp_path / "file")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("make", [*MISPLACED[:2], link_to_itself, Path.touch])
def test_a_folder_that_is_none_has_no_files(tmp_path, make):
    make(tmp_path / "folder")
    with pytest.raises(UntrustedFile):
        read_untrusted(tmp_path / "folder" / "file")


def test_a_folder_that_is_a_link_has_no_files(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_bytes(b"secret")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    with pytest.raises(UntrustedFile):
        read_untrusted(tmp_path / "folder" / "file")


def test_a_file_with_another_name_is_read_but_not_written(tmp_path):
    (tmp_path / "real").write_bytes(b"1")
    (tmp_path / "file").hardlink_to(tmp_path / "real")
    assert read_untrusted(tmp_path / "file") == b"1"
    with pytest.raises(UntrustedFile, match="second hard link"):
        open_untrusted(tmp_path / "file", APPEND)
    with pytest.raises(UntrustedFile, match="second hard link"):
        open_untrusted(tmp_path / "file", alone=True)


def test_what_is_missing_is_no_untrusted_file(tmp_path):
    for path in (tmp_path / "file", tmp_path / "folder" / "file"):
        with pytest.raises(FileNotFoundError):
            read_untrusted(path)


@pytest.mark.parametrize("size", [0, 1, 64 * 1024, 64 * 1024 + 1, 200_000])
def test_a_file_is_read_to_its_end_and_one_above_the_limit_is_refused(tmp_path, size):
    (tmp_path / "file").write_bytes(b"x" * size)
    assert read_untrusted(tmp_path / "file", 200_000) == b"x" * size
    os.truncate(tmp_path / "file", 10 * 1024**3)
    with pytest.raises(UntrustedFile, match="more than 200000 bytes"):
        read_untrusted(tmp_path / "file", 200_000)


def test_a_refused_file_leaves_no_descriptor_open(tmp_path):
    fifo(tmp_path / "fifo")
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(UntrustedFile):
            open_untrusted(tmp_path / "fifo")
    assert len(set(Path("/proc/self/fd").iterdir())) == len(before)


def test_a_tree_of_any_depth_and_without_permissions_is_removed_and_nothing_behind_its_links(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(tmp_path / "kept")
    fifo(tree / "fifo")
    (tree / "locked").mkdir()
    (tree / "locked" / "file").touch()
    (tree / "locked").chmod(0)
    here = Path.cwd()
    os.chdir(tree)
    for _ in range(3000):
        Path("deep").mkdir()
        os.chdir("deep")
    Path("file").touch()
    os.chdir(here)
    assert remove_tree(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_a_file_and_a_link_are_removed_as_themselves(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert remove_tree(tmp_path / "link")
    assert (tmp_path / "file").exists()
    assert remove_tree(tmp_path / "file")
    assert remove_tree(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []
