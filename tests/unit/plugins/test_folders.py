"""The folders of programs: whatever one leaves there, the next one finds them empty."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from treadle_python.treadle_inside.folders import Folder, remove_tree


@pytest.fixture
def workdir(tmp_path):
    return Folder(str(tmp_path), 1, "work", 0o700)


def test_a_tree_of_any_depth_is_removed(workdir, tmp_path):
    before = Path.cwd()
    os.chdir(workdir.path)
    for _ in range(5000):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(before)
    workdir.clear()
    assert list(tmp_path.rglob("*")) == [tmp_path / "1-work"]


def test_names_that_a_program_has_chosen_are_no_hindrance(tmp_path):
    tree = tmp_path / "tree"
    for number in range(3):
        (tree / f".{number}" / f".{number}" / "full").mkdir(parents=True)
    (tree / ".3").touch()
    (tree / ".4").symlink_to("/etc")
    remove_tree(str(tree))
    assert not tree.exists()


def test_no_link_is_followed(workdir, tmp_path):
    (tmp_path / "kept").mkdir(mode=0o750)
    (tmp_path / "kept" / "file").touch()
    folder = Path(workdir.path, "folder")
    folder.mkdir()
    for link in (folder / "link", folder.parent / "link"):
        link.symlink_to(tmp_path / "kept")
    os.mkfifo(folder / "fifo")
    workdir.clear()
    assert (tmp_path / "kept" / "file").exists()
    assert oct((tmp_path / "kept").stat().st_mode)[-3:] == "750"


def test_a_link_in_the_place_of_the_folder_itself_is_removed(workdir, tmp_path):
    Path(workdir.path).rename(tmp_path / "away")
    (tmp_path / "kept").mkdir(mode=0o750)
    (tmp_path / "kept" / "file").touch()
    Path(workdir.path).symlink_to(tmp_path / "kept")
    workdir.clear()
    assert not Path(workdir.path).is_symlink()
    assert (tmp_path / "kept" / "file").exists()
    assert oct((tmp_path / "kept").stat().st_mode)[-3:] == "750"


def test_modes_are_no_hindrance_to_an_ordinary_user(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    (tmp_path / "mine").mkdir()
    os.chown(tmp_path / "mine", 65534, 65534)
    program = f"""
import os, sys
from treadle_python.treadle_inside.folders import Folder
os.chdir({str(tmp_path / "mine")!r})
os.setuid(65534)
workdir = Folder(".", 1, "work", 0o700)
os.makedirs(workdir.path + "/a/b/c")
for folder in ("/a/b/c", "/a/b", "/a", ""):
    os.chmod(workdir.path + folder, 0)
workdir.clear()
sys.stdout.write(repr(os.listdir(workdir.path)) + workdir.path)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("[]./1-work", "")


def test_what_can_t_be_removed_is_left_to_no_other_program(workdir, tmp_path):
    Path(workdir.path, "stays").touch()
    if subprocess.run(["chattr", "+i", f"{workdir.path}/stays"], check=False).returncode != 0:
        pytest.skip("nothing can be made immutable here")
    try:
        workdir.clear()
        assert workdir.path == str(tmp_path / "1-work1")
        assert list(Path(workdir.path).iterdir()) == []
    finally:
        subprocess.run(["chattr", "-i", str(tmp_path / "1-work" / "stays")], check=True)


def test_a_link_in_the_place_of_a_folder_that_is_kept_changes_nothing_elsewhere(workdir, tmp_path):
    (tmp_path / "elsewhere").mkdir(mode=0o755)
    Path(workdir.path).rmdir()
    Path(workdir.path).symlink_to(tmp_path / "elsewhere")
    workdir.keep(str(tmp_path / "kept"))
    assert (tmp_path / "elsewhere").stat().st_mode & 0o777 == 0o755
    assert Path(workdir.path).is_dir()
