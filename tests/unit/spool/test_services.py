"""What an engine and others tell each other of its services, by two files of the spool."""

from __future__ import annotations

import os

import pytest

from treadle_spool import now
from treadle_spool.services import RELOAD, SERVICES, ListedService, Reloaded, ReloadRequest, ServiceList


def test_a_list_is_read_as_it_was_written_and_a_damaged_one_is_none(spool):
    assert ServiceList.read(spool.root) is None
    services = (
        ListedService(name="a", project="/a"),
        ListedService(name="b", project="/b", error="a comma too many"),
    )
    listed = ServiceList(services=services, reloaded=Reloaded(at=now(), added=("a",)))
    listed.write(spool.root, spool.new_in_tmp())
    assert ServiceList.read(spool.root) == listed
    assert list(spool.tmp.iterdir()) == []
    assert listed.why_jobs_wait("a") is None
    assert listed.why_jobs_wait("b") == "service 'b' is broken: a comma too many"
    assert listed.why_jobs_wait("c") == "service 'c' is not served"
    (spool.root / SERVICES).write_bytes(b"")
    assert ServiceList.read(spool.root) is None


def test_a_request_is_there_until_it_is_removed(spool):
    assert ReloadRequest.find(spool.root) is None
    made = ReloadRequest.make(spool.root)
    assert made.is_there()
    found = ReloadRequest.find(spool.root)
    assert found is not None
    assert found.remove()
    assert not made.is_there()
    assert found.remove()


def test_a_request_that_was_made_again_meanwhile_stays(spool):
    ReloadRequest.make(spool.root)
    found = ReloadRequest.find(spool.root)
    assert found is not None
    second = ReloadRequest.make(spool.root)
    while second == found:  # the kernel's clock is coarse
        second = ReloadRequest.make(spool.root)
    assert not found.remove()
    assert second.is_there()


def test_a_folder_of_that_name_is_no_request_that_can_be_made(spool):
    (spool.root / RELOAD).mkdir()
    with pytest.raises(IsADirectoryError):
        ReloadRequest.make(spool.root)


def test_a_link_of_that_name_is_not_followed(spool, tmp_path):
    (tmp_path / "elsewhere").touch()
    os.utime(tmp_path / "elsewhere", (1, 1))
    (spool.root / RELOAD).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        ReloadRequest.make(spool.root)
    assert (tmp_path / "elsewhere").stat().st_mtime == 1
