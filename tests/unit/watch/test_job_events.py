"""What is read of a job's files for those who listen."""

from __future__ import annotations

import pytest

from treadle.testing import live_attempt
from treadle.watch.job_events import JobEvents, Position
from treadle_spool import Descriptor


@pytest.fixture
def running(spool, owner):
    """Return a spool, and the folder in it of a running job named `job`."""
    spool.accept(Descriptor(service="test"), "job")
    owner.claim("job", live_attempt())
    return spool, spool.run / "job"


def test_many_interim_results_are_read_a_good_part_at_a_time(running):
    spool, folder = running
    values = [b'{"number": %d, "more": "%s"}' % (number, b"x" * 1000) for number in range(2000)]
    (folder / "interim.jsonl").write_bytes(b"\n".join(values) + b"\n")
    events = JobEvents(spool, "job", Position())
    told, most = [], 0
    while happened := events.read():
        found = [event.data for event in happened if event.kind == "interim"]
        most = max(most, len(found))
        told += found
    assert told == values
    assert most < 300


@pytest.mark.parametrize("size", [10, 256 * 1024 - 1, 256 * 1024, 3_000_000])
def test_an_interim_result_is_reported_whole_and_not_before_it_is(running, size):
    spool, folder = running
    value = b'"' + b"x" * size + b'"'
    path = folder / "interim.jsonl"
    path.write_bytes(value)
    events = JobEvents(spool, "job", Position())
    assert [event.kind for event in events.read()] == ["status"]
    path.write_bytes(value + b"\n1\n")
    told = []
    while happened := events.read():
        told += [event.data for event in happened]
    assert told == [value, b"1"]


def test_blank_lines_are_told_a_thousand_at_a_time(running):
    spool, folder = running
    (folder / "stdout.log").write_bytes(b"\n" * 5000)
    (folder / "stderr.log").write_bytes(b"\n" * 10)
    events = JobEvents(spool, "job", Position())
    told, sizes = 0, []
    while happened := events.read():
        told += sum(event.kind == "log" for event in happened)
        sizes.append(len(happened))
    assert told == 5010
    assert max(sizes) <= 1000
