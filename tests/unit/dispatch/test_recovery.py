from __future__ import annotations

from pathlib import Path

from treadle import Descriptor, Service
from treadle.dispatch.recovery import recover
from treadle.testing import live_attempt
from treadle_spool import State

SERVICES = {"test": Service("test", Path(), runtime="scripted")}


def test_an_attempt_that_began_is_gone_on_with(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    (found,) = recover(owner, SERVICES, {"scripted"}.__contains__)
    assert (found.job.id, found.live.attempt.number) == ("mine", 1)


def test_a_claim_that_never_began_is_taken_back(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", None)
    (spool.run / "empty").mkdir()
    assert list(recover(owner, SERVICES, {"scripted"}.__contains__)) == []
    assert list(spool.run.iterdir()) == []
    assert spool.look_up("mine").status is State.PENDING


def test_an_attempt_whose_record_a_power_cut_took_is_counted_all_the_same(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    (spool.run / "mine" / "attempts" / "1").mkdir(parents=True)
    (spool.run / "mine" / "attempt.json").write_bytes(b"")
    (found,) = recover(owner, SERVICES, {"scripted"}.__contains__)
    assert (found.live.attempt.number, found.live.attempt.runtime) == (2, "scripted")


def test_a_crash_while_an_attempt_was_put_away_is_mended(spool, owner):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    (spool.run / "mine" / "attempts" / "1").mkdir(parents=True)
    (spool.run / "mine" / "stdout.log").write_bytes(b"of the first")
    (found,) = recover(owner, SERVICES, {"scripted"}.__contains__)
    assert found.live.attempt.number == 2
    assert (spool.run / "mine" / "attempts" / "1" / "stdout.log").read_bytes() == b"of the first"


def test_a_job_of_a_service_that_is_not_served_stays_as_it_is(spool, owner, caplog):
    spool.accept(Descriptor(service="other"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    assert list(recover(owner, SERVICES, {"scripted"}.__contains__)) == []
    assert spool.look_up("mine").status is State.RUNNING
    assert "not served" in caplog.text


def test_a_job_whose_runtime_is_not_installed_stays_as_it_is(spool, owner, caplog):
    spool.accept(Descriptor(service="test"), "mine")
    owner.claim("mine", live_attempt(runtime="scripted"))
    assert list(recover(owner, SERVICES, {"other"}.__contains__)) == []
    assert spool.look_up("mine").status is State.RUNNING
    assert "not installed" in caplog.text
