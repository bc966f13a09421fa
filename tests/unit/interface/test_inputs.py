"""The input files of a program: whole, whatever a power cut or a program has left in their place."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from pathlib import Path

import pytest

from treadle import Attempt, Service, UntrustedFile, write_inputs
from treadle.testing import make_attempt
from treadle_spool import InvalidDescriptor

DATA, PARAMS = b'{"n":12345678901234567890}', b'{"p":[1, 2]}'


@pytest.fixture
def attempt(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "data.json").write_text("precious")
    return make_attempt(
        tmp_path / "spool", service=Service("test", tmp_path / "project"), data=DATA, params=PARAMS
    )


def holds_the_input(attempt: Attempt) -> bool:
    """Return whether the folder has the two files, as a program of another user reads them, and no others."""
    assert attempt.input.lstat().st_mode == 0o040755
    files = {each.name: each for each in attempt.input.iterdir()}
    assert all(each.lstat().st_mode == 0o100644 for each in files.values())
    return {name: each.read_bytes() for name, each in files.items()} == {
        "data.json": DATA,
        "params.json": PARAMS,
    }


def unharmed(attempt: Attempt) -> bool:
    precious = attempt.folder.parents[2] / "precious"
    assert [each.name for each in precious.iterdir()] == ["data.json"]
    return (precious / "data.json").read_text() == "precious"


async def test_the_bytes_are_those_of_the_client(attempt):
    await write_inputs(attempt)
    assert holds_the_input(attempt)
    assert {each.name for each in attempt.folder.iterdir()} == {"job.json", "input"}


async def test_the_umask_does_not_count(attempt):
    before = os.umask(0o077)
    try:
        await write_inputs(attempt)
    finally:
        os.umask(before)
    assert holds_the_input(attempt)


async def test_files_that_are_whole_are_left_alone(attempt):
    await write_inputs(attempt)
    before = [path.stat().st_ino for path in (attempt.input, *sorted(attempt.input.iterdir()))]
    await write_inputs(attempt)
    assert [path.stat().st_ino for path in (attempt.input, *sorted(attempt.input.iterdir()))] == before


@pytest.mark.parametrize("name", ["data.json", "params.json"])
@pytest.mark.parametrize(
    "torn",
    [b"", DATA[:-1], b"\0" * len(DATA), b"\0" * len(PARAMS), DATA + b" "],
    ids=["empty", "short", "zeros", "zeros for params", "long"],
)
async def test_what_a_power_cut_has_torn_is_written_again(attempt, name, torn):
    await write_inputs(attempt)
    (attempt.input / name).write_bytes(torn)
    await write_inputs(attempt)
    assert holds_the_input(attempt)


async def test_a_reader_of_a_torn_file_never_sees_a_part_of_the_next_one(attempt):
    await write_inputs(attempt)
    (attempt.input / "data.json").write_bytes(b"torn")
    with (attempt.input / "data.json").open("rb") as file:
        await write_inputs(attempt)
        assert file.read() == b"torn"


def fifo(path: Path) -> None:
    os.mkfifo(path)


def link(path: Path) -> None:
    path.symlink_to(path.parents[3] / "precious" / "data.json")


def link_to_itself(path: Path) -> None:
    path.symlink_to(path)


def link_to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def full_folder(path: Path) -> None:
    path.mkdir()
    (path / "inside").symlink_to("/")
    (path / "more").mkdir()


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(10**12)


def unreadable(path: Path) -> None:
    path.write_bytes(DATA)
    path.chmod(0)


STRANGE = [fifo, link, link_to_itself, link_to_zeros, full_folder, sparse, unreadable]


@pytest.mark.timeout(10)
@pytest.mark.parametrize("strange", STRANGE, ids=lambda each: each.__name__)
async def test_something_strange_in_the_place_of_a_file_is_replaced(attempt, strange):
    await write_inputs(attempt)
    for each in ("data.json", "params.json"):
        (attempt.input / each).unlink()
        strange(attempt.input / each)
    await write_inputs(attempt)
    assert holds_the_input(attempt)
    assert unharmed(attempt)


def link_to_a_folder(path: Path) -> None:
    path.symlink_to(path.parents[3] / "precious")


def folder_without_rights(path: Path) -> None:
    path.mkdir(mode=0)


def deep_folder(path: Path) -> None:
    path.mkdir()
    fd = os.open(path, os.O_RDONLY)
    for _ in range(1000):  # deeper than a path can name
        os.mkdir("deeper", dir_fd=fd)
        below = os.open("deeper", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "strange",
    [fifo, link_to_a_folder, link_to_itself, link_to_zeros, sparse, folder_without_rights],
    ids=lambda each: each.__name__,
)
async def test_something_strange_in_the_place_of_the_folder_is_replaced(attempt, strange):
    strange(attempt.input)
    await write_inputs(attempt)
    assert holds_the_input(attempt)
    assert unharmed(attempt)


async def test_a_folder_in_the_place_of_a_file_may_be_of_any_depth(attempt):
    attempt.input.mkdir()
    deep_folder(attempt.input / "data.json")
    try:
        await write_inputs(attempt)
        assert holds_the_input(attempt)
    finally:  # shutil.rmtree, which pytest uses, does not get so deep
        await asyncio.to_thread(subprocess.run, ["rm", "-rf", attempt.folder], check=True)


async def test_a_link_in_the_place_of_the_attempt_s_folder_is_not_followed(attempt, tmp_path):
    attempt.folder.rename(tmp_path / "elsewhere")
    attempt.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="not in a folder"):
        await write_inputs(attempt)
    assert not (tmp_path / "elsewhere" / "input").exists()


@pytest.mark.timeout(10)
async def test_a_descriptor_that_is_no_file_is_an_error_and_no_wait(attempt):
    attempt.descriptor.unlink()
    os.mkfifo(attempt.descriptor)
    with pytest.raises(UntrustedFile):
        await write_inputs(attempt)
    attempt.descriptor.unlink()
    attempt.descriptor.symlink_to("/dev/zero")
    with pytest.raises(OSError, match="symbolic link"):
        await write_inputs(attempt)
    attempt.descriptor.unlink()
    attempt.descriptor.write_bytes(b"overwritten")
    with pytest.raises(InvalidDescriptor):
        await write_inputs(attempt)


def large(attempt: Attempt, data: bytes) -> Attempt:
    """Return an attempt whose job has this for its data."""
    attempt.descriptor.write_bytes(b'{"service": "test", "data": %s, "params": %s}' % (data, PARAMS))
    return attempt


async def test_large_input_is_written_by_another_process(attempt):
    data = b'{"list": [' + b"[[1]], " * 3_000_000 + b"1]}"
    begun = time.process_time()
    await write_inputs(large(attempt, data))
    assert time.process_time() - begun < 0.1
    assert (attempt.input / "data.json").read_bytes() == data
    assert (attempt.input / "params.json").read_bytes() == PARAMS


async def test_what_is_wrong_with_large_input_is_told_as_with_small_input(attempt):
    with pytest.raises(InvalidDescriptor, match="not valid JSON"):
        await write_inputs(large(attempt, b'{"list": [' + b"1, " * 1_000_000))
    large(attempt, b'{"list": [' + b"1, " * 1_000_000 + b"1]}")
    attempt.input.symlink_to(attempt.folder.parents[2] / "precious")
    await write_inputs(attempt)
    assert unharmed(attempt)
