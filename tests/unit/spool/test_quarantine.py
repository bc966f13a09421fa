from __future__ import annotations

import json
import os

from treadle_spool import InvalidDescriptor, SpoolError, quarantine
from treadle_spool.quarantine import Quarantine


def test_a_second_file_of_a_name_is_kept_beside_the_first(spool):
    kept = []
    for content in (b"1", b"2", b"3"):
        (spool.drop / "x.json").write_bytes(content)
        kept.append(Quarantine(spool.bad, spool.new_in_tmp).take(spool.drop / "x.json", SpoolError("no")))
    assert [each.read_bytes() for each in kept] == [b"1", b"2", b"3"]
    assert len({each.name for each in kept}) == 3


def test_the_reason_is_for_programs_and_readers(spool):
    (spool.drop / "x.json").touch()
    Quarantine(spool.bad, spool.new_in_tmp).take(
        spool.drop / "x.json", InvalidDescriptor("no such field", "$.x")
    )
    told = json.loads((spool.bad / "x.json.reason.json").read_bytes())
    assert told.pop("refused").endswith("Z")
    assert told == {"name": "x.json", "code": "INVALID_JOB", "detail": "no such field", "path": "$.x"}


def test_the_oldest_go_first_when_there_are_too_many(spool, monkeypatch):
    monkeypatch.setattr(quarantine, "MOST", 3)
    monkeypatch.setattr(quarantine, "SLACK", 2)
    for number in range(6):
        path = spool.drop / f"{number}.json"
        path.mkdir() if number % 2 else path.touch()
        kept = spool.quarantine.take(path, SpoolError("no"))
        if number < 5:
            os.utime(kept.with_name(f"{kept.name}.reason.json"), (number, number))
    assert sorted(each.name for each in spool.bad.iterdir()) == [
        name for number in (3, 4, 5) for name in (f"{number}.json", f"{number}.json.reason.json")
    ]


def test_a_file_that_has_gone_meanwhile_is_no_error(spool):
    Quarantine(spool.bad, spool.new_in_tmp).take(spool.drop / "gone.json", SpoolError("no"))
