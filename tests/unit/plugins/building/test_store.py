"""The folder of environments: what counts as complete, how the link is switched, what is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from treadle import Service, StartError, Unavailable
from treadle_python.building.store import Made, Store, made_environment
from treadle_python.environment import interpreter, python_of

MADE = Made("requirements", "3.12.1", "uv")
HALF = "0123456789abcdef"

DIGEST = "0123456789abcdef"
"""The name of an environment that was built."""


def fill(store: Store, digest: str, *, complete: bool = True) -> Path:
    """Put an environment into the store, as an installer would."""
    path = store.path(digest)
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    if complete:
        store.complete(digest, MADE)
    return path


def test_a_half_made_environment_is_not_complete_and_is_removed(tmp_path):
    store = Store(tmp_path)
    half, whole = fill(store, HALF, complete=False), fill(store, "whole")
    (tmp_path / ".venv.123.new").symlink_to(f".venvs/{HALF}")
    assert (store.record(HALF), store.record("whole")) == (None, MADE)
    store.remove_half_made()
    assert (half.exists(), whole.exists(), os.path.lexists(tmp_path / ".venv.123.new")) == (
        False,
        True,
        False,
    )


def test_what_else_lies_beside_the_environments_is_left_alone(tmp_path):
    store = Store(tmp_path)
    for name in ("one", "two", "three"):
        store.switch(fill(store, name).name)
    mine = fill(store, "py311", complete=False)
    (store.folder / "notes.txt").write_text("which is which")
    store.remove_half_made()
    assert store.earlier() == ["one"]
    assert store.prune() == []
    assert (mine / "bin" / "python").exists()
    assert (store.folder / "notes.txt").exists()


def test_an_environment_whose_python_is_gone_is_not_complete(tmp_path):
    store = Store(tmp_path)
    python = fill(store, DIGEST) / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert store.record(DIGEST) is None
    store.remove_half_made()  # it may be of another host with the same disk
    assert python.is_symlink()


def test_an_environment_that_the_link_leads_to_is_not_removed_as_half_made(tmp_path):
    store = Store(tmp_path)
    current = fill(store, DIGEST)
    store.switch(DIGEST)
    (current / "made.json").unlink()
    store.remove_half_made()
    assert current.exists()


def test_the_switch_leaves_the_environment_before_and_tells_the_earlier_ones(tmp_path):
    store = Store(tmp_path)
    for digest in ("one", "two", "three"):
        fill(store, digest)
        store.switch(digest)
    assert (tmp_path / ".venv").readlink() == Path(".venvs/three")
    assert (store.current(), store.earlier()) == (MADE, ["one"])
    store.switch("three")
    assert store.earlier() == ["one"]


def test_only_what_no_process_uses_is_pruned(tmp_path):
    store = Store(tmp_path)
    for digest in ("used", "unused", "before", "current"):
        fill(store, digest)
        store.switch(digest)
    python = store.path("used") / "bin" / "python"
    with subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert store.prune() == ["used"]
        assert sorted(path.name for path in store.folder.glob("[a-z]*")) == ["before", "current", "used"]
        assert process.stdin is not None
        process.stdin.close()
    assert store.prune() == []
    assert not store.path("used").exists()


@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_a_venv_of_the_user_s_own_is_never_replaced(tmp_path, kind):
    store = Store(tmp_path)
    fill(store, "one")
    if kind == "folder":
        (tmp_path / ".venv").mkdir()
    elif kind == "file":
        (tmp_path / ".venv").write_text("/elsewhere")
    else:
        (tmp_path / ".venv").symlink_to("/elsewhere")
    assert store.is_foreign()
    with pytest.raises(StartError):
        store.switch("one")
    assert made_environment(tmp_path) is None


def test_an_attempt_has_the_environment_and_not_the_link(tmp_path):
    store, service = Store(tmp_path), Service("test", tmp_path)
    assert (python_of(service), interpreter(service)) == (None, Path(sys.executable))
    one = fill(store, "one")
    store.switch("one")
    assert interpreter(service) == one / "bin" / "python"
    for python in (tmp_path / ".venv", tmp_path / ".venv" / "bin" / "python"):
        assert interpreter(Service("test", tmp_path, python=python)) == one / "bin" / "python"
    store.switch(fill(store, "two").name)
    assert interpreter(service) == store.path("two") / "bin" / "python"


def test_an_environment_that_is_gone_is_an_error_that_names_the_build(tmp_path):
    store = Store(tmp_path)
    fill(store, "one")
    store.switch("one")
    store.remove("one")
    for python in (None, tmp_path / ".venv"):
        with pytest.raises(StartError, match="treadle build"):
            interpreter(Service("test", tmp_path, python=python))


def test_a_version_that_is_asked_for_is_not_replaced_by_the_engine_s_python(tmp_path):
    with pytest.raises(StartError, match=r"no environment with Python 3\.9"):
        interpreter(Service("test", tmp_path, python_version="3.9"))


def test_a_link_of_the_user_s_own_that_leads_to_nothing_is_not_replaced_by_the_engine_s_python(tmp_path):
    (tmp_path / ".venv").symlink_to("/nowhere/envs/mine")
    with pytest.raises(Unavailable, match="leads to no folder"):
        interpreter(Service("test", tmp_path))


def is_locked(store: Store) -> bool:
    return (
        subprocess.run(["flock", "--nonblock", store.folder / ".lock", "true"], check=False).returncode == 1
    )


def start_tool(lock: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "600"], pass_fds=[lock])


async def test_the_lock_is_held_as_long_as_a_tool_that_inherited_it_lives(tmp_path):
    store, told = Store(tmp_path), []
    async with store.lock(told.append) as lock:
        tool = start_tool(lock)
    assert is_locked(store)
    tool.kill()
    tool.wait()
    async with store.lock(told.append):
        assert is_locked(store)
    assert not is_locked(store)
    assert told == []
