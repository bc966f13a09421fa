"""A dropped file is followed as this file, whatever else has its name."""

from __future__ import annotations

import pytest

from treadle.cli.backends.dropping import DroppedFile
from treadle.interface.errors import TreadleError
from treadle_spool import Descriptor, DropFolder, NameTaken, Refused, Spool, Taken, renaming

CONTENT = b'{"service": "sum"}'


@pytest.fixture
def spool(tmp_path):
    return Spool.open(tmp_path / "spool")


def take(spool, name="one", check=lambda _: None):
    """Do what the engine's intake does."""
    with spool.lock() as owner:
        return DropFolder(owner, max_bytes=1000, settle=0).take(f"{name}.json", check)


def test_it_is_accepted_when_a_job_comes_from_this_file(spool):
    file = DroppedFile(spool, "one", CONTENT)
    assert not file.accepted()
    assert not file.gone()
    assert isinstance(take(spool), Taken)
    assert file.accepted()
    assert file.gone()


def test_another_job_of_its_name_is_not_it(spool):
    file = DroppedFile(spool, "one", CONTENT)
    spool.accept(Descriptor(service="sum"), "one")
    assert not file.accepted()
    assert isinstance(take(spool), Refused)
    with pytest.raises(TreadleError, match="the job was refused: a job named 'one' exists already"):
        file.accepted()


def test_a_refusal_of_an_earlier_file_is_not_its_own(spool):
    (spool.drop / "one.json").write_bytes(b"{}")
    assert isinstance(take(spool), Refused)
    file = DroppedFile(spool, "one", CONTENT)
    assert not file.accepted()
    assert isinstance(take(spool), Taken)
    assert file.accepted()


def test_a_refusal_of_a_later_file_is_not_its_own(spool):
    file = DroppedFile(spool, "one", CONTENT)
    (spool.drop / "one.json").rename(spool.drop / ".taken")  # as an intake may do while it looks
    (spool.drop / "one.json").write_bytes(b"{}")
    assert isinstance(take(spool), Refused)
    assert not file.accepted()


@pytest.mark.parametrize("has_renameat2", [True, False])
def test_a_file_that_waits_is_not_replaced(spool, monkeypatch, has_renameat2):
    if not has_renameat2:
        monkeypatch.setattr(renaming, "_renameat2", lambda: None)
    DroppedFile(spool, "one", CONTENT)
    with pytest.raises(NameTaken, match="waits in drop/ already"):
        DroppedFile(spool, "one", b"{}")
    assert (spool.drop / "one.json").read_bytes() == CONTENT
    assert (spool.drop / "one.json").stat().st_nlink == 1
    assert [each.name for each in spool.drop.iterdir()] == ["one.json"]
