from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_spool import Descriptor
from treadle_spool.folder import INTERIM
from treadle_spool.interim_list import InterimList


@pytest.fixture
def job(spool):
    """Accept a job that has a folder in run/, and return the folder."""
    folder = spool.run / spool.accept(Descriptor.from_json(b'{"service": "sum"}')).id
    folder.mkdir()
    return folder


def listed(spool, name: str) -> bytes:
    with InterimList.open(spool, name) as interim:
        pieces = b"".join(interim.pieces())
        assert len(pieces) == interim.length
    return pieces


def newest(spool, name: str) -> bytes | None:
    with InterimList.open(spool, name) as interim:
        if (last := interim.last()) is None:
            return None
        length, pieces = last
        value = b"".join(pieces)
        assert len(value) == length
    return value


@pytest.mark.parametrize(
    ("content", "values", "last"),
    [
        (b"", b"[]", None),
        (b"1", b"[]", None),
        (b'{"a": 1}\n', b'[{"a": 1}]', b'{"a": 1}'),
        (b"1\n2\n3\n", b"[1,2,3]", b"3"),
        (b"1\n2\n3", b"[1,2]", b"2"),
    ],
)
def test_the_values_are_the_complete_lines(spool, job, content, values, last):
    (job / INTERIM).write_bytes(content)
    assert listed(spool, job.name) == values
    assert newest(spool, job.name) == last


def test_a_job_without_any_has_an_empty_list(spool, job):
    assert listed(spool, job.name) == b"[]"
    waiting = spool.accept(Descriptor.from_json(b'{"service": "sum"}')).id
    assert listed(spool, waiting) == b"[]"


@given(values=st.lists(st.text(max_size=9), max_size=20), torn=st.sampled_from([b"", b'"x', b'"' + b"x" * 9]))
def test_it_is_read_in_pieces_of_any_size(tmp_path_factory, values, torn):
    path = tmp_path_factory.mktemp("interim") / INTERIM
    path.write_bytes(b"".join(json.dumps(value).encode() + b"\n" for value in values) + torn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("treadle_spool.interim_list._PIECE", 4)
        with InterimList(os.open(path, os.O_RDONLY)) as interim:
            assert json.loads(b"".join(interim.pieces())) == values
            last = interim.last()
            assert (last and json.loads(b"".join(last[1]))) == (values[-1] if values else None)


def test_values_that_are_added_meanwhile_do_not_count(spool, job):
    (job / INTERIM).write_bytes(b"1\n")
    with InterimList.open(spool, job.name) as interim:
        with (job / INTERIM).open("ab") as file:
            file.write(b"2\n")
        assert b"".join(interim.pieces()) == b"[1]"


def test_the_job_s_end_meanwhile_changes_nothing(spool, job):
    (job / INTERIM).write_bytes(b"1\n2\n")
    with InterimList.open(spool, job.name) as interim:
        job.rename(spool.done / job.name)
        assert b"".join(interim.pieces()) == b"[1,2]"


def test_what_is_no_file_is_not_read(spool, job, tmp_path):
    os.mkfifo(job / INTERIM)
    assert listed(spool, job.name) == b"[]"
    (job / INTERIM).unlink()
    (job / INTERIM).mkdir()
    assert listed(spool, job.name) == b"[]"


def test_a_link_is_not_followed(spool, job, tmp_path):
    (tmp_path / "secret").write_bytes(b"1\n")
    (job / INTERIM).symlink_to(tmp_path / "secret")
    assert listed(spool, job.name) == b"[]"


def test_a_file_that_is_larger_than_the_output_that_is_kept_is_not_read(spool, job):
    (job / INTERIM).write_bytes(b"1\n2\n")
    with InterimList.open(spool, job.name, 3) as interim:
        assert b"".join(interim.pieces()) == b"[]"
    with InterimList.open(spool, job.name, 4) as interim:
        assert b"".join(interim.pieces()) == b"[1,2]"
