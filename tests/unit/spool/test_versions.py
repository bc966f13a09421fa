"""Two versions on one spool: the format is raised once, and what a newer version wrote is left alone."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from treadle.testing import live_attempt
from treadle_spool import Descriptor, InvalidDescriptor, Spool, State, durable
from treadle_spool.owner import Owner

LATER = {"owner": "ada", "after": ["other"], "secrets": {"key": "name"}}
"""Fields of a version to come."""


def identity(spool: Spool) -> dict[str, object]:
    return json.loads((spool.root / "spool.json").read_bytes())


def make_old(spool: Spool, **fields: object) -> None:
    (spool.root / "spool.json").write_text(json.dumps({"format": 1, "id": spool.id, **fields}))


def test_a_new_spool_is_of_format_2(spool):
    assert identity(spool)["format"] == 2


def test_a_spool_of_format_1_is_read_as_it_is(spool):
    make_old(spool)
    Spool.open(spool.root).accept(Descriptor(service="s"), "mine")
    assert Spool.open(spool.root).look_up("mine").status is State.PENDING
    assert identity(spool) == {"format": 1, "id": spool.id}


def test_the_owner_raises_a_spool_of_format_1_and_its_id_stays(spool, owner):
    make_old(spool, note="a field of somebody else")
    (spool.root / "spool.json").chmod(0o640)
    owner.sweep()
    assert identity(spool) == {"format": 2, "id": spool.id, "note": "a field of somebody else"}
    assert stat.S_IMODE((spool.root / "spool.json").stat().st_mode) == 0o640
    assert Spool.open(spool.root).id == spool.id
    assert list(spool.tmp.iterdir()) == []


def path_of(fd: int) -> str:
    return str(Path(f"/proc/self/fd/{fd}").readlink())


def test_a_raised_format_is_on_the_disk_before_it_is_in_place_and_then_its_name_is(spool, owner, monkeypatch):
    make_old(spool)
    calls = []
    fsync, rename = os.fsync, os.rename
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append(path_of(fd)), fsync(fd)))
    monkeypatch.setattr(os, "rename", lambda *paths: (calls.append("rename"), rename(*paths)))
    owner.sweep()
    raised = calls.index("rename")
    assert calls[raised - 1].startswith(f"{spool.tmp}/")
    assert calls[raised + 1] == str(spool.root)


def test_a_spool_that_another_process_has_made_and_not_synced_is_synced(spool, owner, monkeypatch):
    synced = []
    sync = durable.sync_folder
    monkeypatch.setattr(durable, "sync_folder", lambda path: (synced.append(str(path)), sync(path)))
    owner.sweep()
    assert str(spool.root) in synced


def test_a_queued_job_may_have_fields_of_a_newer_version(spool, owner):
    raw = json.dumps({"service": "s", "created": "2026-01-02T03:04:05Z", "priority": 3, **LATER}).encode()
    spool.queued("mine").write_bytes(raw)
    assert spool.read_queued("mine").priority == 3
    assert owner.claim("mine", live_attempt()) is not None
    assert spool.look_up("mine").status is State.RUNNING
    assert (spool.run / "mine" / "job.json").read_bytes() == raw


def test_a_queued_job_without_its_time_may_have_them_too(spool):
    spool.queued("mine").write_text(json.dumps({"service": "s", **LATER}))
    assert spool.look_up("mine").status is State.PENDING


def test_in_what_a_client_sends_an_unknown_field_is_a_typo():
    with pytest.raises(InvalidDescriptor, match="unknown field 'owner'"):
        Descriptor.from_client(b'{"service": "s", "owner": "ada"}')


def test_a_status_may_have_fields_of_a_newer_version(spool, owner):
    spool.accept(Descriptor(service="s"), "mine")
    (folder := spool.done / "mine").mkdir()
    status = json.loads(spool.look_up("mine").to_json()) | {"status": "FAILED", "generation": "g", **LATER}
    status["attempts"] = [{**record(1), "generation": "g"}]
    (folder / "status.json").write_text(json.dumps(status))
    assert spool.look_up("mine").status is State.FAILED


def record(number: int) -> dict[str, object]:
    return {"number": number, "runtime": "test", "started": "2026-01-02T03:04:05Z"}


def claimed(spool: Spool, owner: Owner, attempt: dict[str, object]) -> None:
    spool.accept(Descriptor(service="s"), "mine")
    owner.claim("mine", live_attempt())
    (spool.run / "mine" / "attempt.json").write_text(json.dumps(attempt))


def test_what_a_newer_version_wrote_into_an_attempt_s_record_survives_a_rewrite(spool, owner):
    huge = 2**70
    earlier = {**record(1), "generation": "first", "reason": "lost"}
    claimed(spool, owner, {"attempt": {**record(2), "generation": huge}, "earlier": [earlier], "turn": 7})
    owner.next_attempt("mine", spool.read_live("mine"))
    written = json.loads((spool.run / "mine" / "attempt.json").read_bytes())
    assert written["turn"] == 7
    assert written["attempt"]["number"] == 3
    assert [each.get("generation") for each in (written["attempt"], *written["earlier"])] == [
        *(None, "first", huge)
    ]


@pytest.mark.parametrize(
    "damage", [b"", b"\0" * 100, b"{}", b'{"attempt": {"number": "x"}}', b"\xff", b"[" * 9999]
)
def test_a_damaged_record_is_written_anew(spool, owner, damage):
    claimed(spool, owner, {})
    (spool.run / "mine" / "attempt.json").write_bytes(damage)
    owner.record_attempt("mine", live_attempt(2))
    assert spool.read_live("mine").attempt.number == 2
