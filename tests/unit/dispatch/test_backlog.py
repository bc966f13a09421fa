from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from treadle import Job, Service
from treadle.dispatch.backlog import Backlog

SERVICES = {
    "free": Service("free", Path()),
    "one": Service("one", Path(), concurrency=1),
}


def job(number: int, service: str = "free", priority: int = 0) -> Job:
    return Job(f"{number:04}", service, datetime.fromtimestamp(number, UTC), priority=priority)


def drain(backlog: Backlog) -> list[str]:
    taken = []
    while found := backlog.take():
        taken.append(found.id)
    return taken


def test_jobs_go_in_the_order_they_were_accepted():
    backlog = Backlog(SERVICES)
    for number in (3, 1, 2):
        backlog.add(job(number))
    assert drain(backlog) == ["0001", "0002", "0003"]


def test_a_higher_priority_goes_first():
    backlog = Backlog(SERVICES)
    for number, priority in ((1, 0), (2, 5), (3, -1), (4, 5)):
        backlog.add(job(number, priority=priority))
    assert drain(backlog) == ["0002", "0004", "0001", "0003"]


def test_a_service_at_its_limit_delays_no_other():
    backlog = Backlog(SERVICES)
    for number, service in ((1, "one"), (2, "one"), (3, "free")):
        backlog.add(job(number, service))
    assert drain(backlog) == ["0001", "0003"]
    backlog.ended("one")
    assert drain(backlog) == ["0002"]


def test_a_job_is_added_once():
    backlog = Backlog(SERVICES)
    backlog.add(job(1))
    backlog.add(job(1))
    assert (len(backlog), drain(backlog)) == (1, ["0001"])


def test_a_removed_job_is_not_taken():
    backlog = Backlog(SERVICES)
    backlog.add(job(1))
    backlog.add(job(2))
    assert backlog.remove("0001")
    assert not backlog.remove("0001")
    assert drain(backlog) == ["0002"]


def test_a_job_removed_and_added_with_another_priority_has_its_new_place_only():
    backlog = Backlog(SERVICES)
    backlog.add(job(1, priority=9))
    backlog.add(job(2))
    backlog.remove("0001")
    backlog.add(job(1, priority=-9))
    assert drain(backlog) == ["0002", "0001"]


def test_a_job_of_a_service_that_is_not_served_waits():
    backlog = Backlog(SERVICES)
    backlog.add(job(1, "other"))
    assert drain(backlog) == []
    assert backlog.unserved == {"other"}
    assert len(backlog) == 1


@given(st.lists(st.tuples(st.sampled_from(["free", "one"]), st.integers(-3, 3)), max_size=30))
def test_every_job_is_taken_once_and_no_service_exceeds_its_limit(wanted):
    backlog = Backlog(SERVICES)
    for number, (service, priority) in enumerate(wanted):
        backlog.add(job(number, service, priority))
    taken = []
    while len(backlog):
        batch = []
        while found := backlog.take():
            batch.append(found)
        assert sum(each.service == "one" for each in batch) <= 1
        for each in batch:
            backlog.ended(each.service)
        taken += batch
    assert sorted(each.id for each in taken) == [f"{number:04}" for number in range(len(wanted))]
