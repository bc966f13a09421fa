from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from treadle.testing import live_attempt
from treadle_spool import (
    Descriptor,
    NameTaken,
    NotASpool,
    Owner,
    Spool,
    State,
    Status,
    UnknownJob,
    UnsafeName,
    durable,
    now,
)
from treadle_spool.identity import create
from treadle_spool.untrusted import UntrustedFile

JOB = Descriptor(service="sum")
OPEN = """
import sys
from pathlib import Path
from treadle_spool import Spool
print(Spool.open(Path(sys.argv[1])).id)
"""


def ended(name: str, state: State = State.SUCCEEDED) -> Status:
    return Status(id=name, service="sum", status=state, created=now(), ended=now())


def finish(owner: Owner, name: str, result: bytes = b'{"x":1}') -> None:
    owner.claim(name, live_attempt())
    owner.finish(ended(name), result)


def test_a_new_spool_has_its_folders_and_an_id_that_stays(tmp_path):
    first, second = Spool.open(tmp_path / "spool"), Spool.open(tmp_path / "spool")
    assert first.id == second.id
    assert {each.name for each in first.root.iterdir()} == {
        *("drop", "tmp", "queue", "cancel", "run", "done", "bad", "spool.json")
    }


def test_many_processes_may_make_the_same_spool(tmp_path):
    command = [sys.executable, "-c", OPEN, str(tmp_path / "spool")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({process.communicate()[0] for process in processes}) == 1


def test_of_two_that_make_the_same_spool_at_once_the_first_gives_its_id(tmp_path):
    first = Spool.open(tmp_path / "spool")
    create(first.root)  # as a process does that has not seen spool.json yet
    assert Spool.open(first.root).id == first.id


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    (tmp_path / "letters").mkdir()
    with pytest.raises(NotASpool, match="not empty"):
        Spool.open(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["letters"]


@pytest.mark.parametrize(("number", "words"), [(3, "made by a newer version"), (0, "no version of Treadle")])
def test_a_spool_of_another_format_is_left_alone(spool, number, words):
    (spool.root / "spool.json").write_text(f'{{"format": {number}, "id": "x"}}')
    with pytest.raises(NotASpool, match=words):
        Spool.open(spool.root)


def test_a_damaged_identity_is_reported(spool):
    (spool.root / "spool.json").write_text("{")
    with pytest.raises(NotASpool, match=r"spool\.json can't be read"):
        Spool.open(spool.root)


def test_an_accepted_job_is_one_file_in_the_queue(spool):
    status = spool.accept(JOB)
    assert status.status is State.PENDING
    assert [each.name for each in spool.queue.iterdir()] == [f"{status.id}.json"]
    assert list(spool.tmp.iterdir()) == []
    assert spool.look_up(status.id) == status


def test_a_name_is_given_once(spool):
    spool.accept(JOB, "mine")
    with pytest.raises(NameTaken):
        spool.accept(Descriptor(service="other"), "mine")
    assert spool.read_queued("mine").service == "sum"
    assert list(spool.tmp.iterdir()) == []


def test_of_many_accepts_of_a_name_one_succeeds(spool):
    won: list[str] = []

    def want() -> None:
        with suppress(NameTaken):
            won.append(spool.accept(JOB, "mine").id)

    threads = [threading.Thread(target=want) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won == ["mine"]


def test_jobs_are_accepted_together_and_what_is_wrong_with_one_is_reported_for_it_alone(spool, monkeypatch):
    synced: list[str] = []
    sync = durable.sync_folder
    monkeypatch.setattr(durable, "sync_folder", lambda path: (sync(path), synced.append(Path(path).name)))
    spool.accept(JOB, "taken")
    synced.clear()
    first, taken, unsafe, last = spool.accept_all(
        [(JOB, "first"), (JOB, "taken"), (JOB, "../escape"), (JOB, None)]
    )
    assert (first.id, first.status) == ("first", State.PENDING)
    assert isinstance(taken, NameTaken)
    assert isinstance(unsafe, UnsafeName)
    assert spool.look_up(last.id) == last
    assert synced == ["queue"]


def test_of_jobs_that_are_accepted_together_none_stays_when_their_fsync_fails(spool, monkeypatch):
    def fail(_: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(durable, "sync_folder", fail)
    outcomes = spool.accept_all([(JOB, "first"), (JOB, "second"), (JOB, "../escape")])
    assert [type(each) for each in outcomes] == [OSError, OSError, UnsafeName]
    assert list(spool.queue.iterdir()) == list(spool.tmp.iterdir()) == []


def test_an_unsafe_name_is_not_accepted(spool):
    with pytest.raises(UnsafeName):
        spool.accept(JOB, "../escape")


def test_the_file_is_on_the_disk_before_its_name_is_and_that_before_the_answer(spool, monkeypatch):
    order: list[str] = []
    link = os.link
    monkeypatch.setattr(
        "os.fsync", lambda fd: order.append(f"{Path(f'/proc/self/fd/{fd}').readlink().parent.name} synced")
    )
    monkeypatch.setattr("os.link", lambda *a, **k: (link(*a, **k), order.append("linked")))
    spool.accept_all([(JOB, "one"), (JOB, "two")])
    assert order == ["tmp synced", "tmp synced", "linked", "linked", f"{spool.root.name} synced"]


def test_a_job_whose_folder_can_t_be_synced_is_not_in_the_queue(spool, monkeypatch):
    def fail(_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(durable, "sync_folder", fail)
    with pytest.raises(OSError, match="Input/output"):
        spool.accept(JOB)
    assert list(spool.queue.iterdir()) == list(spool.tmp.iterdir()) == []


def test_a_job_is_claimed_once(spool, owner):
    spool.accept(JOB, "mine")
    assert owner.claim("mine", live_attempt()) == spool.run / "mine"
    assert owner.claim("mine", live_attempt()) is None


def test_a_claimed_job_is_running_and_still_owed(spool, owner):
    spool.accept(JOB, "mine")
    owner.claim("mine", live_attempt())
    assert spool.look_up("mine").status is State.RUNNING
    assert spool.queued("mine").exists()
    assert spool.queued("mine").samefile(spool.run / "mine" / "job.json")


def test_what_is_not_in_the_queue_can_t_be_claimed(spool, owner):
    assert owner.claim("nothing", live_attempt()) is None
    assert list(spool.run.iterdir()) == []


def test_a_claim_that_never_began_is_taken_back(spool, owner):
    spool.accept(JOB, "mine")
    owner.claim("mine", None)
    owner.undo_claim("mine")
    assert spool.look_up("mine").status is State.PENDING
    assert owner.claim("mine", live_attempt())


def test_a_finished_job_is_in_done_with_its_result_and_owed_no_more(spool, owner):
    spool.accept(JOB, "mine")
    finish(owner, "mine")
    assert spool.look_up("mine").status is State.SUCCEEDED
    assert (spool.done / "mine" / "result.json").read_bytes() == b'{"x":1}'
    assert list(spool.queue.iterdir()) == list(spool.run.iterdir()) == []


def test_everything_is_on_the_disk_before_the_rename_and_that_before_the_job_is_owed_no_more(
    spool, owner, monkeypatch
):
    spool.accept(JOB, "mine")
    owner.claim("mine", live_attempt())
    order: list[str] = []
    fsync, settle = os.fsync, owner.settle

    def sync(fd: int) -> None:
        fsync(fd)
        name = Path(f"/proc/self/fd/{fd}").readlink().name
        order.append(f"{name} {'before' if (spool.run / 'mine').exists() else 'after'} the rename")

    monkeypatch.setattr("os.fsync", sync)
    monkeypatch.setattr(owner, "settle", lambda name: (settle(name), order.append("settled")))
    owner.finish(ended("mine"), b"1")
    assert order == [
        "result.json before the rename",
        "status.json before the rename",
        "mine before the rename",
        "done after the rename",
        "settled",
    ]


def test_an_outcome_in_a_fresh_folder_is_on_the_disk_before_the_rename_too(spool, owner, monkeypatch):
    spool.accept(JOB, "mine")
    shutil.rmtree(owner.claim("mine", live_attempt()))
    order: list[str] = []
    fsync = os.fsync

    def sync(fd: int) -> None:
        fsync(fd)
        path = Path(f"/proc/self/fd/{fd}").readlink()
        what = "the folder" if path.parent == spool.tmp else path.name
        order.append(f"{what} {'after' if (spool.done / 'mine').exists() else 'before'} the rename")

    monkeypatch.setattr("os.fsync", sync)
    owner.finish(ended("mine"), b"1")
    assert order == [
        "result.json before the rename",
        "status.json before the rename",
        "the folder before the rename",
        "done after the rename",
    ]


def test_a_result_may_be_a_file_of_the_job(spool, owner):
    spool.accept(JOB, "mine")
    folder = owner.claim("mine", live_attempt())
    (folder / "output").mkdir()
    (folder / "output" / "output.json").write_bytes(b"[1]")
    owner.finish(ended("mine"), folder / "output" / "output.json")
    assert (spool.done / "mine" / "result.json").read_bytes() == b"[1]"


def test_a_finish_may_be_repeated_after_a_crash_in_its_middle(spool, owner):
    spool.accept(JOB, "mine")
    folder = owner.claim("mine", live_attempt())
    (folder / "result.json").write_bytes(b"half of")
    (folder / "status.json").write_bytes(b"")
    owner.finish(ended("mine"), b"{}")
    assert (spool.done / "mine" / "result.json").read_bytes() == b"{}"


def test_a_finish_with_a_file_may_be_repeated(spool, owner, monkeypatch):
    spool.accept(JOB, "mine")
    written = owner.claim("mine", live_attempt()) / "output.json"
    written.write_bytes(b"[1]")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", fail)
        with pytest.raises(OSError, match="Input/output"):
            owner.finish(ended("mine"), written)
    owner.finish(ended("mine"), written)
    assert (spool.done / "mine" / "result.json").read_bytes() == b"[1]"


def test_the_first_outcome_wins(spool, owner):
    spool.accept(JOB, "mine")
    finish(owner, "mine", b"1")
    (spool.run / "mine").mkdir()
    owner.finish(ended("mine", State.FAILED), b"2")
    assert not (spool.run / "mine").exists()
    assert spool.look_up("mine").status is State.SUCCEEDED
    assert (spool.done / "mine" / "result.json").read_bytes() == b"1"


def test_a_job_in_done_whose_queue_file_was_left_by_a_crash_is_not_run_again(spool, owner):
    spool.accept(JOB, "mine")
    content = spool.queued("mine").read_bytes()
    finish(owner, "mine")
    spool.queued("mine").write_bytes(content)
    assert owner.claim("mine", live_attempt()) is None
    assert not spool.queued("mine").exists()


def test_an_outcome_is_made_durable_before_it_is_reported(spool, owner, monkeypatch):
    spool.accept(JOB, "mine")
    content = spool.queued("mine").read_bytes()
    finish(owner, "mine")
    spool.queued("mine").write_bytes(content)
    synced: list[object] = []
    monkeypatch.setattr(durable, "sync_folder", synced.append)
    assert spool.look_up("mine").status is State.SUCCEEDED
    assert synced == [spool.done]


def test_a_lost_attempt_is_put_away_and_the_next_one_counted(spool, owner):
    spool.accept(JOB, "mine")
    folder = owner.claim("mine", live_attempt())
    (folder / "stdout.log").write_bytes(b"first")
    lost = live_attempt(reason="lost")
    assert owner.next_attempt("mine", lost).attempt.number == 2
    assert (folder / "attempts" / "1" / "stdout.log").read_bytes() == b"first"
    assert not (folder / "stdout.log").exists()
    assert [each.number for each in spool.look_up("mine").attempts] == [1, 2]


def test_a_cancel_is_a_file(spool):
    spool.accept(JOB, "mine")
    spool.ask_to_cancel("mine")
    spool.ask_to_cancel("mine")
    assert [each.name for each in spool.cancel.iterdir()] == ["mine"]


def test_a_cancel_is_on_the_disk_before_it_is_answered(spool, monkeypatch):
    spool.accept(JOB, "mine")
    synced: list[str] = []
    monkeypatch.setattr(durable, "sync_folder", lambda path: synced.append(path.name))
    spool.ask_to_cancel("mine")
    assert synced == ["cancel"]


def test_what_a_start_finds_in_the_queue_is_on_the_disk_before_it_is_run(spool, owner, monkeypatch):
    synced: list[str] = []
    monkeypatch.setattr(durable, "sync_folder", lambda path: synced.append(path.name))
    owner.sweep()
    assert "queue" in synced


def test_an_ended_job_is_not_cancelled(spool, owner):
    spool.accept(JOB, "mine")
    finish(owner, "mine")
    assert spool.ask_to_cancel("mine").status is State.SUCCEEDED
    assert list(spool.cancel.iterdir()) == []


def test_what_was_asked_for_goes_with_the_job(spool, owner):
    spool.accept(JOB, "mine")
    owner.claim("mine", live_attempt())
    spool.ask_to_cancel("mine")
    owner.finish(ended("mine", State.CANCELLED), None)
    assert list(spool.cancel.iterdir()) == []
    assert not (spool.done / "mine" / "result.json").exists()


@pytest.mark.parametrize("name", ["nothing", "../../etc/passwd", "a/b", "", "x" * 300, "\ud800"])
def test_an_unknown_job_is_unknown(spool, name):
    with pytest.raises((UnknownJob, UnsafeName)):
        spool.look_up(name)


def test_a_job_that_moves_meanwhile_is_never_unknown(spool, owner):
    names = [f"job-{number}" for number in range(100)]
    for name in names:
        spool.accept(JOB, name)
    seen: list[State] = []
    going = True

    def poll() -> None:
        while going:
            seen.extend(spool.look_up(name).status for name in names)

    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for name in names:
            finish(owner, name)
    finally:
        going = False
        for thread in threads:
            thread.join()
    assert set(seen) <= {State.PENDING, State.RUNNING, State.SUCCEEDED}
    assert len(seen) > len(names)


def test_what_dead_writers_left_is_swept_and_what_living_ones_stage_is_not(spool, owner):
    mine = Path(spool.stage(b"mine"))
    with subprocess.Popen(["true"]) as process:
        process.wait()
    (spool.tmp / f"{process.pid}-0-abc").write_bytes(b"theirs")
    (spool.tmp / "nobody").write_bytes(b"?")
    owner.sweep()
    assert list(spool.tmp.iterdir()) == [mine]


def test_a_damaged_descriptor_is_kept_aside_with_the_reason(spool, owner):
    spool.accept(JOB, "mine")
    spool.queued("mine").write_bytes(b"")
    with pytest.raises(Exception, match="not valid JSON") as caught:
        spool.read_queued("mine")
    owner.refuse_queued("mine", caught.value)
    assert not spool.queued("mine").exists()
    assert json.loads((spool.bad / "mine.json.reason.json").read_bytes())["code"] == "INVALID_JSON"


def test_jobs_are_finished_together_and_what_is_wrong_with_one_is_reported_for_it_alone(spool, owner):
    for name in ("first", "second"):
        spool.accept(JOB, name)
        owner.claim(name, live_attempt())
    missing = spool.run / "second" / "nothing.json"
    first, second = owner.finish_all([(ended("first"), b"1"), (ended("second"), missing)])
    assert first is None
    assert type(second) is UntrustedFile
    assert spool.look_up("first").status is State.SUCCEEDED
    assert spool.look_up("second").status is State.RUNNING


def test_a_job_that_ends_during_a_look_up_is_never_reported_as_waiting(spool, owner, monkeypatch):
    spool.accept(JOB, "mine")
    folder = owner.claim("mine", live_attempt())
    look_into_run = spool._running

    def end_first(name):
        if folder.exists():
            owner._publisher.publish(ended(name), b"1")
        return look_into_run(name)

    monkeypatch.setattr(spool, "_running", end_first)
    assert spool.look_up("mine").status is State.SUCCEEDED
