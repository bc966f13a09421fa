from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle_spool import UnsafeName, check_name, new_id
from treadle_spool.names import LONGEST_NAME, printable


def test_an_id_is_a_uuid_of_version_7():
    made = UUID(new_id())
    assert (made.version, made.variant) == (7, "specified in RFC 4122")


def test_ids_sort_by_time(monkeypatch):
    moments = iter(range(10**18, 10**18 + 50 * 10**6, 10**6))
    monkeypatch.setattr("time.time_ns", lambda: next(moments))
    made = [new_id() for _ in range(50)]
    assert made == sorted(made)


def test_an_id_is_a_safe_name():
    assert check_name(name := new_id()) == name


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "0", "x" * LONGEST_NAME])
def test_a_safe_name_is_taken(name):
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "ü", "x" * (LONGEST_NAME + 1), "a\0", "services"],
)
def test_an_unsafe_name_is_refused_with_the_rule(name):
    with pytest.raises(UnsafeName):
        check_name(name)


@given(st.text())
def test_a_valid_name_is_one_plain_part_of_a_path(name):
    try:
        check_name(name)
    except UnsafeName:
        return
    assert "/" not in name
    assert name not in {"", ".", ".."}
    assert name.isascii()


@given(st.binary())
def test_any_file_name_can_be_shown(raw):
    printable(raw.decode("utf-8", "surrogateescape")).encode("utf-8")
