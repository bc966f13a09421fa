from __future__ import annotations

import codecs
import errno
import json
import os
import socket
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.testing import eventually
from treadle_spool import (
    Descriptor,
    DropFolder,
    InvalidDescriptor,
    NotYet,
    Refused,
    Spool,
    Taken,
    durable,
    is_hidden,
)
from treadle_spool.drop_names import PARTIAL_SUFFIXES

JOB = b'{"service": "sum", "data": {"values": [1]}}'


def anything(_: object) -> None:
    """Accept every job."""


@pytest.fixture
def drop(owner):
    return DropFolder(owner, max_bytes=1000, settle=0.2)


def reason(spool: Spool, name: str) -> dict[str, str]:
    return json.loads((spool.bad / f"{name}.reason.json").read_bytes())


def outcome(drop, name, check=anything):
    """Return what becomes of a file in the end."""

    def look():
        taken = drop.take(name, check)
        return None if isinstance(taken, NotYet) and taken.unfinished else taken

    return eventually(look, f"what becomes of {name}")


def refused(spool, drop, name) -> str:
    assert isinstance(outcome(drop, name), Refused)
    assert not os.path.lexists(drop.path / name)
    return reason(spool, name)["code"]


def test_a_file_becomes_a_job_of_its_name(spool, drop):
    (drop.path / "mine.json").write_bytes(JOB)
    taken = drop.take("mine.json", anything)
    assert isinstance(taken, Taken)
    assert taken.status.id == "mine"
    assert spool.read_queued("mine").service == "sum"
    assert drop.names() == []


@pytest.mark.parametrize(
    "name",
    [
        ".mine.json",
        "~$mine.json",
        "#mine.json#",
        "mine.json~",
        "mine.swp",
        *(f"mine.json{suffix}" for suffix in PARTIAL_SUFFIXES),
        "mine.json.PART",
    ],
)
def test_a_file_under_a_writer_s_own_name_is_left_alone(owner, name):
    drop = DropFolder(owner, max_bytes=1000, settle=0)
    (drop.path / name).write_bytes(JOB)
    assert drop.take(name, anything) == NotYet(unfinished=False)
    assert drop.names() == [name]


@pytest.mark.parametrize("name", ["mine.json.XyZabC", "mine.json.6eF2a1B9", "tmpab12cd", "sedAbCdEf", "4913"])
def test_a_file_under_a_name_of_no_job_is_given_time_to_get_another(spool, drop, name):
    """Atomic writers, tempfile, sed and vim make such files, and rename them a moment later."""
    (drop.path / name).write_bytes(JOB)
    assert drop.take(name, anything) == NotYet(unfinished=True)
    (drop.path / name).rename(drop.path / "mine.json")
    assert isinstance(drop.take("mine.json", anything), Taken)
    (drop.path / name).write_bytes(JOB)
    assert refused(spool, drop, name) == "UNSAFE_NAME"


def test_a_temporary_name_that_is_a_job_s_name_is_taken_later(drop):
    (drop.path / "tmpab12cd.json").write_bytes(JOB)
    assert drop.take("tmpab12cd.json", anything) == NotYet(unfinished=True)
    assert isinstance(outcome(drop, "tmpab12cd.json"), Taken)


def test_a_name_is_not_judged_while_the_file_has_a_writer(owner):
    drop = DropFolder(owner, max_bytes=1000, settle=0)
    with (drop.path / "mine.json.XyZabC").open("wb"):
        assert drop.take("mine.json.XyZabC", anything) == NotYet(unfinished=True)
    assert isinstance(drop.take("mine.json.XyZabC", anything), Refused)


def test_an_unfinished_file_is_looked_at_again_when_it_may_be_finished(drop):
    (drop.path / "no-suffix").write_bytes(JOB)
    assert 0.4 < drop.take("no-suffix", anything).again < 0.51
    (drop.path / "mine.json").touch()
    assert 0.1 < drop.take("mine.json", anything).again < 0.21


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        (codecs.BOM_UTF8 + JOB, "byte order mark"),
        (JOB.decode().encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + JOB.decode().encode("utf-16-be"), "UTF-16"),
        (JOB.decode().encode("utf-32"), "UTF-32"),
    ],
    ids=["utf-8-sig", "utf-16", "utf-16-be", "utf-32"],
)
def test_a_file_of_another_encoding_is_refused_in_words(spool, drop, mark, told):
    (drop.path / "mine.json").write_bytes(mark)
    assert refused(spool, drop, "mine.json") == "INVALID_JSON"
    assert told in reason(spool, "mine.json")["detail"]
    assert "save it as UTF-8" in reason(spool, "mine.json")["detail"]


def test_a_file_that_has_a_writer_is_left_alone(drop):
    with (drop.path / "mine.json").open("wb") as file:
        file.write(JOB)
        file.flush()
        assert drop.take("mine.json", anything) == NotYet(unfinished=True)
    assert isinstance(drop.take("mine.json", anything), Taken)


def test_an_empty_file_is_given_a_moment(spool, drop):
    (drop.path / "mine.json").touch()
    assert drop.take("mine.json", anything) == NotYet(unfinished=True)
    assert refused(spool, drop, "mine.json") == "INVALID_JSON"
    assert reason(spool, "mine.json")["detail"] == "the file is empty"


@pytest.mark.parametrize("content", [b"", JOB[:10]])
def test_a_time_in_the_future_makes_no_file_wait_longer(spool, drop, content):
    (drop.path / "mine.json").write_bytes(content)
    os.utime(drop.path / "mine.json", (time.time() + 1e6,) * 2)
    assert refused(spool, drop, "mine.json") == "INVALID_JSON"


def test_a_file_that_has_gone_is_no_error(drop):
    assert drop.take("gone.json", anything) == NotYet(unfinished=False)


def test_a_link_is_not_followed(spool, drop, tmp_path):
    (tmp_path / "secret.json").write_bytes(JOB)
    (drop.path / "link.json").symlink_to(tmp_path / "secret.json")
    assert refused(spool, drop, "link.json") == "NOT_A_FILE"
    assert (tmp_path / "secret.json").read_bytes() == JOB
    assert (spool.bad / "link.json").is_symlink()


def test_a_file_with_a_second_name_is_refused(spool, drop, tmp_path):
    (tmp_path / "elsewhere").write_bytes(JOB)
    os.link(tmp_path / "elsewhere", drop.path / "mine.json")
    assert drop.take("mine.json", anything) == NotYet(unfinished=True)
    assert refused(spool, drop, "mine.json") == "HARD_LINK"


@pytest.mark.parametrize("kind", ["fifo", "folder", "full folder", "socket"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(spool, drop, kind, monkeypatch):
    path = drop.path / "odd.json"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(drop.path)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("odd.json")
    else:
        path.mkdir()
        if kind == "full folder":
            (path / "inside").touch()
    assert refused(spool, drop, "odd.json") == "NOT_A_FILE"


def test_a_device_is_refused(spool, drop):
    try:
        os.mknod(drop.path / "zero.json", 0o20666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("only root may make a device")
    assert refused(spool, drop, "zero.json") == "NOT_A_FILE"


def test_a_file_that_is_too_large_is_refused_unread(spool, drop):
    with (drop.path / "big.json").open("wb") as file:
        file.truncate(2**30)
    start = time.monotonic()
    assert refused(spool, drop, "big.json") == "TOO_LARGE"
    assert time.monotonic() - start < 1


def test_a_name_already_used_is_refused(spool, drop):
    for place in (spool.queue / "queued.json", spool.run / "running", spool.done / "done"):
        place.mkdir() if place.suffix == "" else place.write_bytes(JOB)
    for name in ("queued.json", "running.json", "done.json"):
        (drop.path / name).write_bytes(JOB)
        assert refused(spool, drop, name) == "NAME_TAKEN"


@pytest.mark.parametrize(
    "name",
    [
        b"no-suffix",
        b"..json",
        b"-x.json",
        b"a b.json",
        b"a\nb.json",
        b"caf\xc3\xa9.json",
        b"\xff\xfe.json",
        b"x" * 250 + b".json",
        b"services.json",
    ],
)
def test_an_unsafe_name_is_refused_and_the_file_kept(spool, drop, name):
    (drop.path / os.fsdecode(name)).write_bytes(JOB)
    if name.startswith(b"."):
        assert drop.take(os.fsdecode(name), anything) == NotYet(unfinished=False)
        return
    assert isinstance(outcome(drop, os.fsdecode(name)), Refused)
    (told,) = [each for each in spool.bad.iterdir() if each.name.endswith(".reason.json")]
    assert json.loads(told.read_bytes())["code"] == "UNSAFE_NAME"
    assert (spool.bad / told.name.removesuffix(".reason.json")).read_bytes() == JOB


def test_what_the_engine_does_not_want_is_refused_with_its_reason(spool, drop):
    def check(_: object) -> None:
        raise InvalidDescriptor("values must not be empty", "$.data.values")

    (drop.path / "mine.json").write_bytes(JOB)
    assert isinstance(drop.take("mine.json", check), Refused)
    told = reason(spool, "mine.json")
    assert (told["code"], told["path"], told["detail"]) == (
        "INVALID_JOB",
        "$.data.values",
        "values must not be empty",
    )


def test_the_same_file_met_again_after_a_crash_is_not_a_second_job(spool, drop, monkeypatch):
    (drop.path / "mine.json").write_bytes(JOB)
    with monkeypatch.context() as crash:
        crash.setattr("pathlib.Path.unlink", lambda *_, **__: None)
        drop.take("mine.json", anything)
    (taken,) = drop.names()
    assert is_hidden(taken)
    assert taken.endswith("mine.json")
    for staged in spool.tmp.iterdir():
        staged.unlink()
    assert isinstance(drop.take(taken, anything), Taken)
    assert drop.names() == []
    assert [each.name for each in spool.queue.iterdir()] == ["mine.json"]


def test_the_reason_is_on_the_disk_before_the_file_has_left(spool, drop, monkeypatch):
    order: list[str] = []
    sync = durable.sync_folder
    monkeypatch.setattr(
        durable,
        "sync_folder",
        lambda path: (sync(path), order.append(next(drop.path.iterdir()).name.partition("x.")[2])),
    )
    (drop.path / "x.json").write_bytes(b"[]")
    drop.take("x.json", anything)
    assert order == ["json"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=300))
def test_any_content_is_taken_or_refused_with_a_reason(spool, owner, content):
    drop = DropFolder(owner, max_bytes=1000, settle=0)
    path = drop.path / "any.json"
    path.write_bytes(content)
    outcome = drop.take("any.json", anything)
    assert isinstance(outcome, Taken | Refused)
    if isinstance(outcome, Taken):
        spool.queued("any").unlink()
    assert drop.names() == []


@pytest.mark.parametrize("place", ["run", "done"])
def test_a_job_whose_descriptor_its_program_has_replaced_holds_up_nothing(spool, drop, place):
    (spool.root / place / "mine").mkdir()
    os.mkfifo(spool.root / place / "mine" / "job.json")
    (drop.path / "mine.json").write_bytes(JOB)
    timer = threading.Timer(5, lambda: os.open(spool.root / place / "mine" / "job.json", os.O_RDWR))
    timer.start()
    began = time.monotonic()
    assert refused(spool, drop, "mine.json") == "NAME_TAKEN"
    timer.cancel()
    assert time.monotonic() - began < 5


def test_a_disk_in_trouble_is_no_reason_to_refuse_a_file(spool, drop, monkeypatch):
    spool.accept(Descriptor(service="sum"), "mine")
    (drop.path / "mine.json").write_bytes(JOB)

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("treadle_spool.spool.Spool.was_made_of", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        drop.take("mine.json", anything)
    assert drop.names() == ["mine.json"]
