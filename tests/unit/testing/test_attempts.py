from __future__ import annotations

import json

from treadle import Service
from treadle.testing import live_attempt, make_attempt
from treadle_spool import LiveAttempt


def test_an_attempt_has_its_folder_as_a_claimed_job_has_it(tmp_path):
    attempt = make_attempt(tmp_path, job="mine", number=2, data=b'{"n": 1}', timeout=5, labels={"a": "b"})
    assert (attempt.folder, attempt.number) == (tmp_path / "run" / "mine", 2)
    assert (attempt.job.id, attempt.job.timeout, attempt.job.labels) == ("mine", 5, {"a": "b"})
    descriptor = json.loads(attempt.descriptor.read_bytes())
    assert (descriptor["service"], descriptor["data"], descriptor["params"]) == ("test", {"n": 1}, {})
    assert attempt.scratch.is_dir()


def test_the_raw_bytes_of_the_input_stay_as_they_are(tmp_path):
    attempt = make_attempt(tmp_path, data=b'{"b": 1.0,  "a": 18446744073709551617}')
    assert b'{"b": 1.0,  "a": 18446744073709551617}' in attempt.descriptor.read_bytes()


def test_a_next_attempt_is_one_of_the_same_job(tmp_path):
    first = make_attempt(tmp_path, data=b'{"n": 1}', priority=3)
    next_ = make_attempt(tmp_path, number=2)
    assert (next_.job, next_.folder, next_.spool_id) == (first.job, first.folder, first.spool_id)
    assert b'{"n": 1}' in next_.descriptor.read_bytes()


def test_attempts_of_two_folders_are_of_two_spools(tmp_path):
    service = Service("mine", tmp_path)
    first, second = (make_attempt(tmp_path / name, service=service) for name in ("a", "b"))
    assert first.spool_id != second.spool_id
    assert first.service is second.service is service
    assert make_attempt(tmp_path / "c", spool_id="given").spool_id == "given"


def test_a_live_attempt_is_what_attempt_json_holds(spool):
    live = live_attempt(2, "mine", reason="lost")
    assert isinstance(live, LiveAttempt)
    record = json.loads(live.to_json())["attempt"]
    assert (record["number"], record["runtime"], record["reason"]) == (2, "mine", "lost")
