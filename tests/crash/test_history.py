"""The checker of the kill loop finds what it is there to find."""

from __future__ import annotations

import json

import pytest

from tests.crash.history import History, Told, violations


@pytest.fixture
def spool(tmp_path):
    for place in ("queue", "run", "cancel", "done/job"):
        (tmp_path / place).mkdir(parents=True)
    end(tmp_path)
    return tmp_path


def end(spool, status="SUCCEEDED", result=b'{"n": 1}', reasons=("ended",)):
    fields = {"status": status, "attempts": [{"reason": reason} for reason in reasons]}
    (spool / "done" / "job" / "status.json").write_text(json.dumps(fields))
    (spool / "done" / "job" / "result.json").write_bytes(result)


def found(spool, record="a begin\na end\n", told=(), **changes):
    (spool / "records").mkdir()
    (spool / "records" / "job").write_text(record)
    history = History(accepted={"job": {"n": 1}}, told=list(told), **changes)
    return list(violations(history, spool, spool / "records"))


def test_nothing_is_wrong_with_an_ordinary_history(spool):
    assert found(spool, told=[Told("job", "SUCCEEDED", b'{"n": 1}')] * 2) == []


def test_a_lost_job_is_found(spool):
    (spool / "done" / "job" / "status.json").unlink()
    assert "lost" in found(spool)[0]


def test_two_attempts_alive_at_once_are_found(spool):
    end(spool, reasons=("lost", "ended"))
    assert "alive at the same time" in found(spool, "a begin\nb begin\na beat\nb end\n")[0]


def test_a_run_too_many_is_found(spool):
    assert "ran 2 times" in found(spool, "a begin\nb begin\nb end\n")[0]


def test_a_success_whose_program_did_not_end_is_found(spool):
    assert "has not come to its end" in found(spool, "a begin\na beat\n")[0]


def test_a_result_that_changed_is_found(spool):
    told = [Told("job", "SUCCEEDED", b'{"n": 1}'), Told("job", "FAILED", b"{}")]
    assert any("changed" in each for each in found(spool, told=told))


def test_another_result_than_the_one_reported_is_found(spool):
    assert "told another" in found(spool, told=[Told("job", "SUCCEEDED", b'{"n": 2}')])[0]


def test_a_wrong_result_is_found(spool):
    end(spool, result=b"2")
    assert "not its input" in found(spool)[0]


def test_a_result_that_is_of_an_earlier_run_is_found(spool):
    end(spool, result=b'{"data": {"n": 1}, "run": "a"}', reasons=("lost", "ended"))
    assert "is of the run a" in found(spool, "a begin\nb begin\nb end\n")[0]


def test_an_empty_result_is_found(spool):
    end(spool, result=b"")
    assert "not its input" in found(spool)[0]


def test_a_run_that_a_power_cut_took_is_not_missed(spool):
    end(spool, result=b'{"data": {"n": 1}, "run": "b"}')
    assert found(spool, "a begin\nb begin\nb end\n", power_cuts=True) == []


def test_a_failure_without_an_explanation_is_found(spool):
    end(spool, status="FAILED", reasons=("ended",))
    assert "it failed" in found(spool)[0]


def test_a_cancel_without_a_request_is_found(spool):
    end(spool, status="CANCELLED")
    assert "without a request" in found(spool)[0]


def test_what_is_left_behind_is_found(spool):
    (spool / "run" / "job").mkdir()
    assert "left behind" in found(spool)[0]
