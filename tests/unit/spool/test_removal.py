"""The removal of refused folders, which their owner may still change."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from treadle_spool import SpoolError, removal

NOBODY = 65534
ROUNDS = int(os.environ.get("TREADLE_RACE_ROUNDS", "50"))


@pytest.mark.parametrize("kind", ["file", "link", "link to a folder", "folder", "full folder", "fifo"])
def test_whatever_it_is_it_is_removed(tmp_path, kind):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("x")
    path = tmp_path / "entry"
    if kind == "file":
        path.write_text("x")
    elif kind == "fifo":
        os.mkfifo(path)
    elif "link" in kind:
        path.symlink_to(tmp_path / ("outside" if "folder" in kind else "nowhere"))
    else:
        path.mkdir()
        if kind == "full folder":
            (path / "inner" / "most").mkdir(parents=True)
            (path / "inner" / "file").write_text("x")
            (path / "link").symlink_to(tmp_path / "outside")
            os.mkfifo(path / "inner" / "most" / "fifo")
    removal.remove(path)
    assert not os.path.lexists(path)
    assert (tmp_path / "outside" / "file").read_text() == "x"


def test_what_is_gone_is_no_error(tmp_path):
    removal.remove(tmp_path / "gone")


def test_a_folder_that_is_nested_as_deep_as_one_can_is_removed(tmp_path):
    """Deeper than the stack of the interpreter, than its descriptors, and than the longest path."""
    folder = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deep", dir_fd=folder)
        inner = os.open("deep", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(folder)
    removal.remove(tmp_path / "deep")
    assert not (tmp_path / "deep").exists()


@pytest.fixture
def open_folder():
    """Return a folder below which other users may have theirs, unlike tmp_path."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def test_a_folder_that_forbids_its_removal_is_removed_all_the_same(open_folder):
    inner = open_folder / "entry" / "inner"
    inner.mkdir(parents=True)
    (inner / "file").touch()
    inner.chmod(0)
    inner.parent.chmod(0o500)
    if os.geteuid() != 0:
        removal.remove(inner.parent)
    else:
        for path in (open_folder, inner.parent, inner):
            os.chown(path, NOBODY, NOBODY)
        assert as_nobody(lambda: removal.remove(inner.parent)) == 0
    assert not inner.parent.exists()


def as_nobody(work) -> int:
    """Do the work in a process without any rights, and return its exit code."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_another_file_system_inside_is_not_emptied(tmp_path):
    mounted = tmp_path / "entry" / "mounted"
    mounted.mkdir(parents=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mounted], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("this user may not mount")
    try:
        (mounted / "file").touch()
        with pytest.raises(OSError, match="mounted"):
            removal.remove(tmp_path / "entry")
        assert (mounted / "file").exists()
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_what_can_t_be_removed_keeps_its_reason_and_stops_no_other(spool, monkeypatch):
    for name in ("a.json", "b.json"):
        (spool.drop / name).mkdir()
        spool.quarantine.take(spool.drop / name, SpoolError("no"))
    remove = removal.remove

    def fail(path) -> None:
        if path.name == "a.json":
            raise PermissionError
        remove(path)

    monkeypatch.setattr(removal, "remove", fail)
    spool.quarantine.expire(2e9 * 2)
    assert sorted(path.name for path in spool.bad.iterdir()) == ["a.json", "a.json.reason.json"]


ATTACKER = """
import ctypes, sys
libc = ctypes.CDLL(None)
tree = sys.argv[1].encode()
print(flush=True)
while True:
    libc.renameat2(-100, tree + b"/sub", -100, tree + b"/link", 2)
"""


def test_a_folder_that_is_exchanged_for_a_link_leads_nowhere(tmp_path):
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    (outside / "inner").mkdir(parents=True)
    for name in ("file", "inner/file"):
        (outside / name).write_text("x")
    attacker = subprocess.Popen([sys.executable, "-c", ATTACKER, tree], stdout=subprocess.PIPE)
    try:
        attacker.stdout.readline()
        for _ in range(ROUNDS):
            (tree / "sub" / "inner").mkdir(parents=True)
            for number in range(20):
                (tree / "sub" / "inner" / str(number)).touch()
            (tree / "link").symlink_to(outside)
            removal.remove(tree)
            assert not tree.exists()
    finally:
        attacker.kill()
        attacker.communicate()
    assert sorted(path.name for path in outside.rglob("*")) == ["file", "file", "inner"]
