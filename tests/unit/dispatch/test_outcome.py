"""What an attempt's end and its output mean together: section 4 of the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from treadle import Exit, Malformed, Reason, Result, State
from treadle.dispatch.outcome import conclude
from treadle.dispatch.output import Findings
from treadle.testing import make_attempt


@pytest.fixture
def attempt(tmp_path):
    return make_attempt(tmp_path)


def outcome(attempt, exit_: Exit, *found: Result | Malformed, max_result: int = 1000):
    findings = Findings()
    for each in found:
        findings.note(each)
    concluded = conclude(attempt, exit_, findings, 5.0, max_result)
    content = concluded.result
    raw = content.read_bytes() if isinstance(content, Path) else content
    return concluded.state, None if raw is None else json.loads(raw)


def ended(code: int | None = 0, signal: int | None = None, **more) -> Exit:
    return Exit(Reason.ENDED, code=code, signal=signal, **more)


def test_a_result_and_exit_code_0_is_success(attempt):
    assert outcome(attempt, ended(), Result(b"42")) == (State.SUCCEEDED, 42)


def test_no_result_and_exit_code_0_is_success_with_null(attempt):
    assert outcome(attempt, ended()) == (State.SUCCEEDED, None)


def test_the_first_result_wins(attempt):
    assert outcome(attempt, ended(), Result(b"1"), Result(b"2")) == (State.SUCCEEDED, 1)


def test_a_result_printed_by_a_program_that_fails_is_the_failure_s_body(attempt):
    assert outcome(attempt, ended(1), Result(b'{"code": "X"}')) == (State.FAILED, {"code": "X"})


def test_without_one_the_exit_code_and_the_end_of_stderr_are(attempt):
    attempt.stderr.write_text("first\n" + "x" * 10_000 + "\nlast words\n")
    state, body = outcome(attempt, ended(3))
    assert (state, body["code"]) == (State.FAILED, "EXIT_3")
    assert body["detail"] == "last words"


def test_without_a_word_on_stderr_the_end_of_stdout_is(attempt):
    attempt.stdout.write_text("all is well\nlast words\n")
    attempt.stderr.touch()
    assert outcome(attempt, ended(3))[1]["detail"] == "all is well\nlast words"
    attempt.stderr.write_text("an error\n")
    assert outcome(attempt, ended(3))[1]["detail"] == "an error"


def test_a_signal_is_reported_by_its_name(attempt):
    state, body = outcome(attempt, ended(None, 9))
    assert (state, body["code"]) == (State.FAILED, "EXIT_137")
    assert "SIGKILL" in body["detail"]


def test_a_marker_that_holds_no_json_fails_the_job(attempt):
    state, body = outcome(attempt, ended(), Malformed("line 3 is not JSON"), Malformed("nor is 4"))
    assert (state, body) == (State.FAILED, {"code": "INVALID_RESULT", "detail": "line 3 is not JSON"})


def test_a_valid_result_makes_up_for_an_invalid_one(attempt):
    assert outcome(attempt, ended(), Malformed("no"), Result(b"1")) == (State.SUCCEEDED, 1)


def test_an_invalid_interim_result_fails_nothing(attempt):
    assert outcome(attempt, ended(), Malformed("no", interim=True), Result(b"1")) == (State.SUCCEEDED, 1)


def test_what_the_program_returned_counts_before_what_it_printed(attempt):
    (attempt.folder / "output.json").write_text('{"returned": 1}')
    exit_ = ended(returned=attempt.folder / "output.json")
    assert outcome(attempt, exit_, Result(b"2")) == (State.SUCCEEDED, {"returned": 1})


def test_a_program_that_says_that_it_failed_has_failed(attempt):
    (attempt.folder / "error.json").write_text('{"code": "1"}')
    assert outcome(attempt, ended(returned=attempt.folder / "error.json", failed=True)) == (
        State.FAILED,
        {"code": "1"},
    )


def test_a_result_that_is_a_link_is_not_served(attempt):
    (attempt.folder / "output.json").symlink_to("/etc/hostname")
    state, body = outcome(attempt, ended(returned=attempt.folder / "output.json"))
    assert (state, body["code"]) == (State.FAILED, "INVALID_RESULT")


@pytest.mark.parametrize("printed", [True, False])
def test_a_result_that_is_too_large_is_not_served(attempt, printed):
    (attempt.folder / "output.json").write_text("1" * 100)
    if printed:
        state, body = outcome(attempt, ended(), Result(b"1" * 100), max_result=10)
    else:
        state, body = outcome(attempt, ended(returned=attempt.folder / "output.json"), max_result=10)
    assert (state, body["code"]) == (State.FAILED, "INVALID_RESULT")
    assert "100 bytes" in body["detail"]


@pytest.mark.parametrize(
    ("reason", "state", "code"),
    [
        (Reason.TIMED_OUT, State.FAILED, "TIMEOUT"),
        (Reason.OUT_OF_MEMORY, State.FAILED, "OUT_OF_MEMORY"),
        (Reason.LOST, State.FAILED, "LOST"),
        (Reason.NOT_STARTED, State.FAILED, "NOT_STARTED"),
    ],
)
def test_every_other_end_is_a_failure_by_its_name(attempt, reason, state, code):
    found, body = outcome(attempt, Exit(reason), Result(b"1"))
    assert (found, body["code"]) == (state, code)


def test_a_cancelled_job_has_no_result(attempt):
    assert outcome(attempt, Exit(Reason.STOPPED), Result(b"1")) == (State.CANCELLED, None)


@pytest.mark.parametrize("found", [(), (Result(b"42"),), (Malformed("cut"),)])
def test_a_program_whose_output_could_not_be_written_fails_with_a_code_that_says_so(attempt, found):
    exit_ = ended(unwritten=True, detail="its output could not be written to the disk: Input/output error")
    state, body = outcome(attempt, exit_, *found)
    assert (state, body["code"]) == (State.FAILED, "OUTPUT_NOT_WRITTEN")
    assert body["detail"] == exit_.detail


def test_what_a_program_returned_counts_whatever_became_of_its_output(attempt):
    (attempt.folder / "returned.json").write_bytes(b"42")
    exit_ = ended(unwritten=True, returned=attempt.folder / "returned.json")
    assert outcome(attempt, exit_) == (State.SUCCEEDED, 42)


def test_the_exit_code_explains_a_failure_whose_output_could_not_be_written(attempt):
    assert outcome(attempt, ended(3, unwritten=True))[1]["code"] == "EXIT_3"
