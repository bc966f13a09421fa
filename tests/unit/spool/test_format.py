"""FORMAT.md and its schemas agree with the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from treadle.dispatch.toolbox import Toolbox
from treadle_spool import (
    AttemptRecord,
    Descriptor,
    InvalidDescriptor,
    LiveAttempt,
    State,
    Status,
    errors,
    now,
)
from treadle_spool.schemas import schemas
from treadle_spool.status import FORMAT

ROOM = Path(__file__).parents[3] / "spool"


def validator(name: str) -> Draft202012Validator:
    schema = json.loads((ROOM / f"{name}.schema.json").read_text())
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("name", ["descriptor.schema.json", "status.schema.json"])
def test_the_schemas_are_those_of_the_code(name):
    """`make schemas` writes them anew."""
    assert (ROOM / name).read_bytes() == schemas()[name]


near_jobs = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["s", "", "x" * 255, "x" * 256, 1, None]),
        "data": st.sampled_from([{}, {"a": 1}, [], None, "x"]),
        "params": st.sampled_from([{}, {"a": 1}, [], 3]),
        "priority": st.sampled_from([0, -1000, 1000, 1001, -1001, 1.5, "1", True]),
        "timeout": st.sampled_from([1, 0.5, 0, -1, 31622400, 31622401, "x", None]),
        "labels": st.sampled_from([{}, {"a": "b"}, {"a": 1}, {"": "x"}, {"x" * 256: "a"}, [], None]),
        "other": st.just(1),
    },
)


@given(near_jobs)
def test_the_schema_of_the_descriptor_and_the_code_agree(job):
    valid = validator("descriptor").is_valid(job)
    try:
        Descriptor.from_client(json.dumps(job).encode())
    except InvalidDescriptor:
        assert not valid
    else:
        assert valid


def test_what_the_spool_writes_fits_the_schemas(spool, owner):
    spool.accept(Descriptor(service="s", timeout=3, labels={"a": "b"}), "mine")
    validator("descriptor").validate(json.loads(spool.queued("mine").read_bytes()))
    attempt = AttemptRecord(
        number=1, runtime="r", started=now(), ended=now(), reason="ended", code=0, limits={"a": 1}
    )
    owner.claim("mine", LiveAttempt(attempt=attempt))
    status = Status(
        id="mine",
        service="s",
        status=State.FAILED,
        created=now(),
        started=now(),
        ended=now(),
        attempts=(attempt,),
    )
    owner.finish(status, b"{}")
    validator("status").validate(json.loads((spool.done / "mine" / "status.json").read_bytes()))


@pytest.mark.parametrize("place", ["drop", "tmp", "queue", "cancel", "run", "done", "bad"])
def test_every_folder_is_documented(place):
    assert f"    {place}/" in (ROOM / "FORMAT.md").read_text()


REFUSALS = (
    errors.InvalidJson,
    errors.InvalidDescriptor,
    errors.NameTaken,
    errors.UnsafeName,
    errors.NotAFile,
    errors.HardLinked,
    errors.TooLarge,
    errors.Unreadable,
)


@pytest.mark.parametrize("error", REFUSALS)
def test_every_reason_for_a_refusal_is_documented(error):
    assert f"`{error.code}`" in (ROOM / "FORMAT.md").read_text()


def test_the_page_is_about_the_format_that_is_written():
    page = (ROOM / "FORMAT.md").read_text()
    assert page.startswith(f"# The spool's format, version {FORMAT}\n")
    assert f'{{"format": {FORMAT}, "id": "<uuid>"}}' in page
    assert f"## What changed since version {FORMAT - 1}\n" in page


def test_the_time_after_which_an_attempt_counts_is_the_one_that_is_documented():
    after = Toolbox.__dataclass_fields__["sync_after"].default
    assert f"an attempt has run for {after:g} seconds" in (ROOM / "FORMAT.md").read_text()


def test_no_field_that_is_reserved_is_used_already():
    (line,) = re.findall(r"^- in a descriptor: (.*);$", (ROOM / "FORMAT.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", line)).isdisjoint(Descriptor.__struct_fields__)
