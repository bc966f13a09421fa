from __future__ import annotations

import os
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from treadle.testing import live_attempt
from treadle_spool import (
    Descriptor,
    Owner,
    Retention,
    Spool,
    SpoolError,
    State,
    Status,
    collect,
    expired,
    now,
)
from treadle_spool.retention import remove


def end(owner: Owner, name: str, service: str = "sum", days_ago: float = 0, result: bytes = b"1") -> None:
    owner.spool.accept(Descriptor(service=service), name)
    owner.claim(name, live_attempt())
    moment = now() - timedelta(days=days_ago)
    status = Status(id=name, service=service, status=State.SUCCEEDED, created=moment, ended=moment)
    owner.finish(status, result)


def kept(spool: Spool) -> set[str]:
    return set(spool.names(spool.done))


def test_the_newest_of_each_service_are_kept(spool, owner):
    for number in range(4):
        end(owner, f"sum-{number}", "sum", days_ago=number)
        end(owner, f"other-{number}", "other", days_ago=number)
    collect(spool, Retention(jobs=1))
    assert kept(spool) == {"sum-0", "other-0"}
    assert list(spool.tmp.iterdir()) == []


def test_what_is_too_old_goes(spool, owner):
    end(owner, "new", days_ago=1)
    end(owner, "old", days_ago=3)
    assert [each.name for each in expired(spool, Retention(days=2))] == ["old"]
    assert kept(spool) == {"new", "old"}
    collect(spool, Retention(days=2))
    assert kept(spool) == {"new"}


def test_what_is_too_large_goes_the_oldest_first(spool, owner):
    for number in range(3):
        end(owner, f"job-{number}", days_ago=number, result=b"x" * 10_000)
    collect(spool, Retention(bytes=25_000))
    assert kept(spool) == {"job-0", "job-1"}


def test_a_file_with_holes_is_as_large_as_what_it_occupies(spool, owner):
    for number in range(2):
        end(owner, f"job-{number}", days_ago=number, result=b"x" * 10_000)
    with (spool.done / "job-0" / "core").open("wb") as file:
        file.truncate(10**12)
    collect(spool, Retention(bytes=50_000))
    assert kept(spool) == {"job-0", "job-1"}


def test_a_job_that_has_not_ended_is_never_removed(spool, owner):
    spool.accept(Descriptor(service="sum"), "waiting")
    spool.accept(Descriptor(service="sum"), "running")
    owner.claim("running", live_attempt())
    end(owner, "settling")
    spool.queued("settling").write_bytes(b'{"service": "sum"}')
    collect(spool, Retention(days=0, jobs=0, bytes=0))
    assert spool.look_up("waiting").status is State.PENDING
    assert spool.look_up("running").status is State.RUNNING
    assert kept(spool) == {"settling"}


def test_a_result_that_is_being_read_is_read_to_its_end(spool, owner):
    end(owner, "job", result=b"x" * 100_000)
    with (spool.done / "job" / "result.json").open("rb") as file:
        begun = file.read(10)
        collect(spool, Retention(jobs=0))
        assert begun + file.read() == b"x" * 100_000


def test_of_many_removals_of_a_job_one_succeeds(spool, owner):
    end(owner, "job")
    remove(spool, "job")
    remove(spool, "job")
    assert kept(spool) == set()


def test_what_a_crash_left_of_a_removal_is_swept(spool, owner):
    (spool.tmp / "999999999-gc-job" / "output").mkdir(parents=True)
    (spool.tmp / "999999999-gc-job" / "output" / "file").touch()
    owner.sweep()
    assert list(spool.tmp.iterdir()) == []


def test_refused_files_go_by_their_age(spool):
    for name in ("new", "old"):
        (spool.drop / name).touch()
        spool.quarantine.take(spool.drop / name, SpoolError("no"))
    os.utime(spool.bad / "old.reason.json", (0, 0))
    collect(spool, Retention(days=1))
    assert {each.name for each in spool.bad.iterdir()} == {"new", "new.reason.json"}


def test_a_foreign_folder_in_done_is_left_alone(spool):
    (spool.done / "notes").mkdir()
    collect(spool, Retention(jobs=0))
    assert kept(spool) == {"notes"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 9)), max_size=8),
    st.integers(0, 9) | st.none(),
    st.integers(0, 5) | st.none(),
)
def test_what_is_kept_is_what_should_be(tmp_path_factory, ended, days, jobs):
    spool = Spool.open(tmp_path_factory.mktemp("spool"))
    with spool.lock() as owner:
        for number, (service, age) in enumerate(ended):
            end(owner, f"{service}-{number}", service, days_ago=age)
    collect(spool, Retention(days=None if days is None else days + 0.5, jobs=jobs))
    for service in "ab":
        ages = sorted(age for name, age in ended if name == service)
        wanted = [age for age in ages if days is None or age <= days][:jobs]
        assert sum(name.startswith(f"{service}-") for name in kept(spool)) == len(wanted)


@pytest.mark.parametrize("keep", [Retention(days=0), Retention(jobs=0), Retention(bytes=0)])
def test_any_limit_is_one(keep):
    assert keep
    assert not Retention()
