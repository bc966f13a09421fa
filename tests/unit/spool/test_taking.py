"""How entries leave drop/ while others rename files onto their names, and what becomes of those that stay."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from treadle.testing import live_attempt
from treadle_spool import (
    Descriptor,
    DropFolder,
    Faulty,
    Found,
    Large,
    LeftAlone,
    NotYet,
    Refused,
    Retention,
    Spool,
    State,
    Status,
    Taken,
    collect,
    durable,
    now,
    renaming,
    taking,
)
from treadle_spool.draft import Draft
from treadle_spool.drop_names import dropped_name, taken_name
from treadle_spool.left import LEFT, origin_of
from treadle_spool.renaming import rename_new

JOB = b'{"service": "sum", "data": {"values": [1]}}'
OTHER = b'{"service": "sum", "data": {"values": [2]}}'


def anything(_: object) -> None:
    """Accept every job."""


def drop_folder(owner, **options) -> DropFolder:
    return DropFolder(owner, **{"max_bytes": 1000, "settle": 0, **options})


@pytest.fixture
def drop(owner):
    return drop_folder(owner)


def put(drop: DropFolder, name: str, content: bytes) -> None:
    """Drop a file as a careful writer does."""
    draft = drop.path / f".{name}"
    draft.write_bytes(content)
    draft.rename(drop.path / name)


def codes(spool: Spool) -> list[str]:
    return [json.loads(path.read_bytes())["code"] for path in spool.bad.glob("*.reason.json")]


def collected(owner, name: str) -> None:
    """Have a job end, and its folder removed by age."""
    owner.claim(name, live_attempt())
    owner.finish(Status(id=name, service="sum", status=State.SUCCEEDED, created=now(), ended=now()), b"1")
    collect(owner.spool, Retention(jobs=0))
    assert not (owner.spool.done / name).exists()


def test_a_file_that_replaces_the_one_that_is_accepted_stays_and_is_refused(spool, drop):
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    assert isinstance(found, Found)
    put(drop, "mine.json", OTHER)
    taken = drop.accept(found)
    assert isinstance(taken, Taken)
    assert taken.again == "mine.json"
    assert (drop.path / "mine.json").read_bytes() == OTHER
    assert isinstance(drop.take("mine.json", anything), Refused)
    assert codes(spool) == ["NAME_TAKEN"]
    assert (spool.bad / "mine.json").read_bytes() == OTHER
    assert drop.names() == []


def test_a_file_that_replaces_the_one_that_is_refused_is_judged_by_itself(spool, drop):
    put(drop, "mine.json", b"{}")
    fault = drop.look("mine.json")
    assert isinstance(fault, Faulty)
    put(drop, "mine.json", JOB)
    (outcome,) = drop.refuse_all([fault])
    assert isinstance(outcome, NotYet)
    assert outcome.entry == "mine.json"
    assert isinstance(drop.take("mine.json", anything), Taken)
    assert codes(spool) == []


def test_a_file_whose_place_is_taken_again_is_an_entry_of_its_own(spool, drop, monkeypatch):
    """A third file comes while the second one is looked at under the hidden name."""
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    put(drop, "mine.json", OTHER)
    original = DropFolder.accept
    rename = Path.rename

    def rename_and_drop(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if ".taking-" in str(target):
            (drop.path / "mine.json").write_bytes(b"third")
        return renamed

    with monkeypatch.context() as racing:
        racing.setattr(Path, "rename", rename_and_drop)
        taken = original(drop, found)
    assert dropped_name(taken.again) == "mine.json"
    assert sorted((drop.path / name).read_bytes() for name in drop.names()) == sorted([OTHER, b"third"])
    for entry in drop.names():
        assert isinstance(drop.take(entry, anything), Refused)
    assert sorted(codes(spool)) == ["INVALID_JSON", "NAME_TAKEN"]
    kept = [(spool.bad / name).read_bytes() for name in ("mine.json", "mine.json.2")]
    assert sorted(kept) == sorted([OTHER, b"third"])


@pytest.mark.parametrize("change", ["written", "open"])
def test_a_file_that_is_written_while_it_is_accepted_is_put_back(drop, change):
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    with (drop.path / "mine.json").open("r+b") as file:
        if change == "written":
            file.write(OTHER + b"  ")
            file.close()
        assert drop.accept(found).again == "mine.json"
    assert drop.names() == ["mine.json"]


def test_what_a_killed_engine_had_taken_runs_once(spool, owner):
    drop = drop_folder(owner)
    put(drop, "mine.json", JOB)
    put(drop, "other.json", OTHER)
    found = drop.look("mine.json")
    spool.accept(found.descriptor)
    for name in ("mine.json", "other.json"):
        (drop.path / name).rename(drop.path / taken_name(name))
    for entry in drop_folder(owner).names():
        assert isinstance(drop.take(entry, anything), Taken)
    assert drop.names() == []
    assert {"mine", "other"} <= set(spool.names(spool.queue))


@pytest.mark.parametrize("name", ["mine.json", "caf\xe9.json", "\udcff", "x" * 255, "\xe9" * 127])
def test_a_hidden_name_holds_the_name_that_was_dropped(name):
    taken = taken_name(name)
    assert len(os.fsencode(taken)) <= 255
    assert dropped_name(taken).startswith(name[:90])
    assert dropped_name(taken_name(taken)) == dropped_name(taken)


@pytest.mark.parametrize("kernel", ["renameat2", "link and unlink"])
def test_a_rename_that_may_not_overwrite_does_not(tmp_path, monkeypatch, kernel):
    if kernel == "link and unlink":
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    with pytest.raises(FileExistsError):
        rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "b"
    rename_new(str(tmp_path / "a"), str(tmp_path / "c"))
    assert (tmp_path / "c").read_text() == "a"
    assert not (tmp_path / "a").exists()


@pytest.fixture
def stuck(drop, monkeypatch):
    """Have no entry of drop/ renamed, as in another user's sticky folder."""
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent == drop.path:
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)


@pytest.mark.usefixtures("stuck")
def test_a_file_that_can_t_be_moved_away_runs_once_even_when_its_job_is_gone(spool, owner, drop):
    put_in_place(drop, "mine.json", JOB)
    taken = drop.take("mine.json", anything)
    assert isinstance(taken, Taken)
    assert taken.stays == "Operation not permitted"
    collected(owner, "mine")
    for later in (drop, drop_folder(owner)):  # and after a restart
        assert later.take("mine.json", anything) == LeftAlone("Operation not permitted")
    assert list(spool.names(spool.queue)) == []


def put_in_place(drop: DropFolder, name: str, content: bytes) -> None:
    (drop.path / name).write_bytes(content)


@pytest.mark.usefixtures("stuck")
def test_a_file_that_can_t_be_moved_away_is_refused_once_with_one_reason(spool, owner, drop):
    put_in_place(drop, "mine.json", b"{}")
    refused = drop.take("mine.json", anything)
    assert isinstance(refused, Refused)
    assert refused.stays == "Operation not permitted"
    for later in (drop, drop_folder(owner)):
        assert isinstance(later.take("mine.json", anything), LeftAlone)
    assert codes(spool) == ["INVALID_JOB"]
    assert (drop.path / "mine.json").exists()


@pytest.mark.usefixtures("stuck")
def test_another_file_under_the_name_of_one_that_was_left_is_a_job_of_its_own(spool, owner, drop):
    put_in_place(drop, "mine.json", JOB)
    drop.take("mine.json", anything)
    collected(owner, "mine")
    (drop.path / "mine.json").unlink()
    put_in_place(drop, "mine.json", OTHER + b" ")
    assert isinstance(drop_folder(owner).take("mine.json", anything), Taken)
    assert list(spool.names(spool.queue)) == ["mine"]


@pytest.mark.usefixtures("stuck")
def test_what_was_left_is_forgotten_when_it_is_gone(spool, owner, drop):
    for name in ("a.json", "b.json"):
        put_in_place(drop, name, JOB)
        drop.take(name, anything)
    (drop.path / "a.json").unlink()
    drop_folder(owner)
    (line,) = [json.loads(line) for line in (spool.root / LEFT).read_bytes().splitlines()]
    assert line["name"] == "b.json"


@pytest.mark.usefixtures("stuck")
def test_a_drop_folder_that_is_missing_at_the_start_is_no_error(owner, drop):
    put_in_place(drop, "a.json", JOB)
    drop.take("a.json", anything)
    (drop.path / "a.json").unlink()
    drop.path.rmdir()
    drop_folder(owner)


@pytest.mark.usefixtures("stuck")
def test_a_damaged_line_of_what_was_left_hides_no_other(spool, owner, drop):
    put_in_place(drop, "a.json", JOB)
    (spool.root / LEFT).write_bytes(b'{"name": "cut o')
    drop.take("a.json", anything)
    assert isinstance(drop_folder(owner).look("a.json"), LeftAlone)


@pytest.fixture
def stuck_folder(spool, monkeypatch):
    """Have a folder be one that may be renamed inside drop/, and not to another folder."""
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.parent == spool.drop and Path(target).parent == spool.bad:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)


@pytest.mark.usefixtures("stuck_folder")
def test_a_folder_of_another_user_stays_with_its_reason(spool, owner, drop):
    (drop.path / "theirs.json").mkdir()
    put(drop, "mine.json", JOB)
    refused = drop.take("theirs.json", anything)
    assert isinstance(refused, Refused)
    assert refused.stays == "Permission denied"
    assert isinstance(drop_folder(owner).look("theirs.json"), LeftAlone)
    assert isinstance(drop.take("mine.json", anything), Taken)
    assert codes(spool) == ["NOT_A_FILE"]
    assert drop.names() == ["theirs.json"]


@pytest.fixture
def other_file_system(spool):
    """Mount another file system at drop/."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", spool.drop], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount")
    yield
    subprocess.run(["umount", spool.drop], check=True)


@pytest.mark.usefixtures("other_file_system")
def test_a_drop_folder_on_another_file_system_works(spool, owner):
    drop = drop_folder(owner)
    put(drop, "mine.json", JOB)
    put(drop, "bad.json", b"{}")
    (drop.path / "link.json").symlink_to("/nowhere")
    (drop.path / "folder.json").mkdir()
    os.mkfifo(drop.path / "pipe.json")
    outcomes = {name: drop.take(name, anything) for name in drop.names()}
    assert isinstance(outcomes.pop("mine.json"), Taken)
    assert {name: bool(outcome.stays) for name, outcome in outcomes.items()} == {
        "bad.json": False,
        "link.json": False,
        "folder.json": True,
        "pipe.json": True,
    }
    assert (spool.bad / "bad.json").read_bytes() == b"{}"
    assert (spool.bad / "link.json").readlink() == Path("/nowhere")
    assert sorted(drop.names()) == ["folder.json", "pipe.json"]
    assert all(isinstance(drop_folder(owner).look(name), LeftAlone) for name in drop.names())
    assert sorted(codes(spool)) == ["INVALID_JOB", "NOT_A_FILE", "NOT_A_FILE", "NOT_A_FILE"]


WRITER = """
import os, random, sys, time
drop, rounds = sys.argv[1], int(sys.argv[2])
for number in range(rounds):
    for content in ("first", "second"):
        with open(f"{drop}/.draft", "w") as file:
            file.write('{"service": "sum", "labels": {"which": "%s"}}' % content)
        if content == "second":
            print(flush=True)
            sys.stdin.readline()
            time.sleep(random.random() * 0.001)
        os.rename(f"{drop}/.draft", f"{drop}/job-{number}.json")
    print(flush=True)
    sys.stdin.readline()
"""
ROUNDS = int(os.environ.get("TREADLE_RACE_ROUNDS", "50"))


def test_a_file_that_replaces_another_at_any_moment_is_refused_with_the_reason(spool, drop):
    command = [sys.executable, "-c", WRITER, str(drop.path), str(ROUNDS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:

        def go() -> None:
            writer.stdin.write("\n")
            writer.stdin.flush()

        for number in range(ROUNDS):
            writer.stdout.readline()
            found = drop.look(f"job-{number}.json")
            go()
            drop.accept(found)
            writer.stdout.readline()
            for entry in drop.names():
                drop.take(entry, anything)
            go()
    accepted = [spool.read_queued(f"job-{number}").labels["which"] for number in range(ROUNDS)]
    refused = [
        json.loads((spool.bad / f"job-{number}.json").read_bytes())["labels"]["which"]
        for number in range(ROUNDS)
    ]
    assert (accepted, refused) == (["first"] * ROUNDS, ["second"] * ROUNDS)


@pytest.mark.parametrize("content", [JOB, b"{}"], ids=["accepted", "refused"])
def test_what_is_being_taken_away_is_no_entry_of_its_own(drop, monkeypatch, content):
    """A listing meanwhile would have it dealt with twice: two reasons for one file."""
    put(drop, "mine.json", content)
    listed = []
    is_unchanged = taking._is_unchanged

    def listing(path: Path, *arguments: object) -> bool:
        listed.append((path.exists(), drop.names()))
        return is_unchanged(path, *arguments)

    monkeypatch.setattr(taking, "_is_unchanged", listing)
    drop.take("mine.json", anything)
    assert listed == [(True, [])]
    assert drop.names() == []


def test_a_refused_file_is_no_entry_until_it_is_in_bad(spool, drop, monkeypatch):
    put(drop, "mine.json", b"{}")
    listed = []
    sync_folder = durable.sync_folder

    def listing(folder: Path) -> None:
        listed.append((len(list(drop.path.iterdir())), drop.names()))
        sync_folder(folder)

    monkeypatch.setattr(durable, "sync_folder", listing)
    assert isinstance(drop.take("mine.json", anything), Refused)
    assert listed == [(1, [])]
    assert drop.names() == []
    assert len(codes(spool)) == 1


@pytest.mark.usefixtures("stuck_folder")
def test_a_folder_that_stays_is_refused_once_whatever_is_put_into_it(spool, owner, drop):
    (drop.path / "archive").mkdir()
    assert isinstance(drop.take("archive", anything), Refused)
    (drop.path / "archive" / "file").touch()
    os.utime(drop.path / "archive", ns=(5, 5))
    assert isinstance(drop.take("archive", anything), LeftAlone)
    assert isinstance(drop_folder(owner).take("archive", anything), LeftAlone)
    assert len(codes(spool)) == 1


def test_a_file_is_known_again_by_its_job_while_this_is_claimed(owner, drop):
    """A claim is made in steps; in between, run/<job> has no descriptor."""
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    assert isinstance(found, Found)
    drop.accept(found)
    (owner.spool.run / "mine").mkdir()
    assert isinstance(drop.accept(found), Taken)


def test_a_job_s_file_that_its_program_has_replaced_is_not_read(owner, drop):
    put(drop, "mine.json", JOB)
    owner.spool.run.joinpath("mine").mkdir()
    os.mkfifo(owner.spool.run / "mine" / "job.json")
    assert isinstance(drop.take("mine.json", anything), Refused)


def test_a_file_whose_time_is_set_when_it_has_been_read_runs_and_is_not_refused(spool, drop):
    """`rsync --inplace` closes a file, and then sets its time."""
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    assert isinstance(found, Found)
    os.utime(drop.path / "mine.json", (1, 1))
    assert drop.accept(found).again is None
    assert (codes(spool), drop.names()) == ([], [])


def test_a_file_of_the_same_size_that_is_written_when_it_has_been_read_is_put_back(drop):
    for content in (OTHER, b"{" * len(JOB)):
        put(drop, "mine.json", JOB)
        found = drop.look("mine.json")
        assert isinstance(found, Found)
        (drop.path / "mine.json").write_bytes(content)
        outcome = drop.accept(found)
        assert isinstance(outcome, Faulty) or outcome.again == "mine.json"
        assert (drop.path / "mine.json").read_bytes() == content


def test_a_large_file_whose_time_is_set_when_it_has_been_read_is_taken_as_well(spool, owner):
    drop = drop_folder(owner, large=1)
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    assert isinstance(found, Large)

    def compose(path: Path, file: os.stat_result) -> Draft:
        job = msgspec.structs.replace(Descriptor.from_client(path.read_bytes()), origin=origin_of(file))
        os.utime(path, (1, 1))
        return Draft.write(str(spool.new_in_tmp()), job.accepted(now()))

    assert drop.accept_large(found, compose).again is None
    assert (codes(spool), drop.names(), list(spool.tmp.iterdir())) == ([], [], [])


def test_a_file_that_grows_while_it_is_compared_is_put_back(drop, monkeypatch):
    """A writer that no lease tells of: another user's, or on a file system without leases."""
    put(drop, "mine.json", JOB)
    found = drop.look("mine.json")
    assert isinstance(found, Found)
    os.utime(drop.path / "mine.json", (1, 1))
    monkeypatch.setattr("treadle_spool.dropped.OpenFile.has_no_writer", lambda _: False)
    read = os.read

    def read_and_write(fd: int, size: int) -> bytes:
        content = read(fd, size)
        if content == JOB:
            for path in drop.path.glob(".taking-*"):
                path.write_bytes(JOB + b" and more")
        return content

    monkeypatch.setattr("treadle_spool.dropped.os.read", read_and_write)
    assert drop.accept(found).again == "mine.json"
    assert (drop.path / "mine.json").read_bytes() == JOB + b" and more"
