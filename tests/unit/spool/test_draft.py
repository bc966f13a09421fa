"""Large jobs: their files are written before they are accepted, and their payloads are not read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_spool import Descriptor, NameTaken, Origin, State
from treadle_spool.draft import Draft
from treadle_spool.status import now

PAYLOADS = st.sampled_from([None, "{}", '{"n": 12345678901234567890, "a":[1,  2]}', '{"ü":"\\u0000"}'])
LONG = {chr(0x100 + number): "\x01" for number in range(15_000)}
"""The labels that take the most space in JSON, about as many as there may be."""


def descriptor(data: str | None, params: str | None = None, **fields: object) -> Descriptor:
    parts = {name: raw for name, raw in (("data", data), ("params", params)) if raw is not None}
    payloads = "".join(f', "{name}": {raw}' for name, raw in parts.items())
    plain = Descriptor(service="sum", **fields).to_json().decode()[:-1]
    return Descriptor.from_json(f"{plain}{payloads}}}".encode())


@given(PAYLOADS, PAYLOADS, st.booleans())
def test_the_pieces_are_the_descriptor(data, params, from_drop):
    origin = Origin(1, 2, 3) if from_drop else None
    job = descriptor(data, params, labels={"a": 'x","data":{'}, priority=3, origin=origin).accepted(now())
    assert b"".join(job.pieces()) == job.to_json()


def drafted(spool, job: Descriptor) -> Draft:
    return Draft.write(str(spool.new_in_tmp()), job.accepted(now()))


def test_a_draft_becomes_a_job(spool):
    job = descriptor('{"n": 1}', '{"p": 2}', labels={"of": "me"})
    draft = drafted(spool, job)
    assert draft.job.labels == {"of": "me"}
    assert not bytes(draft.job.data)
    accepted = spool.accept(draft, "mine")
    assert (accepted.id, accepted.status, accepted.created) == ("mine", State.PENDING, draft.job.created)
    draft.remove()
    assert list(spool.tmp.iterdir()) == []
    assert spool.queued("mine").stat().st_nlink == 1
    assert bytes(spool.read_queued("mine").data) == b'{"n": 1}'
    with pytest.raises(NameTaken):
        spool.accept(drafted(spool, job), "mine")


def test_a_draft_that_can_t_be_written_leaves_nothing(spool, monkeypatch):
    def fail(fd: int, content: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "write", fail)
    with pytest.raises(OSError, match="No space"):
        drafted(spool, descriptor("{}"))
    assert list(spool.tmp.iterdir()) == []


@pytest.mark.parametrize("labels", [{}, {"of": "me"}, LONG], ids=["none", "few", "many"])
def test_the_payload_of_a_large_job_is_not_read_for_its_status(spool, labels):
    data = '{"x": "' + "a" * 2_000_000 + '"}'
    spool.accept(descriptor(data, labels=labels, origin=Origin(1, 2, 3)), "mine")
    before = bytes_read()
    assert spool.look_up("mine").labels == labels
    assert spool.was_made_of("mine", Origin(1, 2, 3))
    assert bytes_read() - before < 1_400_000


def test_a_damaged_file_in_queue_does_not_hide_what_an_ended_job_was_made_of(spool):
    spool.accept(descriptor("{}", origin=Origin(1, 2, 3)), "mine")
    (spool.done / "mine").mkdir()
    (spool.done / "mine" / "job.json").write_bytes(spool.queued("mine").read_bytes())
    spool.queued("mine").write_bytes(bytes(100))
    assert spool.was_made_of("mine", Origin(1, 2, 3))
    assert not spool.was_made_of("mine", Origin(1, 2, 4))


def bytes_read() -> int:
    """Return how many bytes this process has read."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])
