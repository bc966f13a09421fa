"""What makes an attempt durable, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from treadle.testing import live_attempt
from treadle_spool import Descriptor, Owner, Spool
from treadle_spool.errors import NotOwner


@pytest.fixture
def folder(spool: Spool, owner: Owner) -> Path:
    spool.accept(Descriptor(service="s"), "mine")
    folder = owner.claim("mine", live_attempt())
    assert folder is not None
    return folder


@pytest.fixture
def synced(monkeypatch) -> list[str]:
    """Return the paths that are synced from now on."""
    paths: list[str] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        paths.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    return paths


def test_the_files_are_synced_before_their_folder_and_that_before_its_own_name(spool, owner, folder, synced):
    (folder / "process.json").write_bytes(b"{}")
    owner.sync_attempt("mine")
    assert synced[-2:] == [str(folder), str(spool.run)]
    assert {f"{folder}/attempt.json", f"{folder}/process.json", f"{folder}/job.json"} == set(synced[:-2])


def test_what_the_program_writes_is_not_synced(owner, folder, synced):
    for name in ("stdout.log", "stderr.log", "interim.jsonl"):
        (folder / name).write_bytes(b"x")
    (folder / "large").write_bytes(bytes(2_000_000))
    (folder / "input").mkdir()
    owner.sync_attempt("mine")
    assert {Path(path).name for path in synced} == {"attempt.json", "job.json", "mine", "run"}


@pytest.mark.timeout(20)
def test_what_a_program_has_put_there_does_no_harm(owner, folder, synced):
    (folder / "attempt.json").unlink()
    os.mkfifo(folder / "attempt.json")
    os.mkfifo(folder / "a pipe")
    (folder / "a link").symlink_to("/dev/zero")
    (folder / "a loop").symlink_to("a loop")
    for number in range(1000):
        (folder / str(number)).touch()
    owner.sync_attempt("mine")
    assert len(synced) < 100


def test_a_job_that_has_ended_meanwhile_is_none_to_be_synced(owner, folder):
    folder.rename(folder.with_name("gone"))
    with pytest.raises(FileNotFoundError):
        owner.sync_attempt("mine")


def test_who_has_no_lock_any_more_syncs_nothing(spool):
    with spool.lock() as former:
        pass
    with pytest.raises(NotOwner):
        former.sync_attempt("mine")


def test_the_next_attempt_is_on_the_disk_with_the_name_of_its_folder(spool, owner, folder, synced):
    owner.next_attempt("mine", spool.read_live("mine"))
    assert synced[-2:] == [str(folder), str(spool.run)]
