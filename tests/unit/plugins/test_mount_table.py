"""The table of mounts: which places of the host are hidden from a program, and what it is given."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.unit.plugins.on_host import PythonOnHost
from treadle import Command, Mount, Service
from treadle.testing import make_attempt
from treadle_python import mount_table
from treadle_python.mount_table import MountTable, hidden_rows
from treadle_python.treadle_inside.mounts import EMPTY, READ_WRITE, TMP


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Let the host have these mounts."""

    def have(*lines: str) -> None:
        (tmp_path / "mountinfo").write_text("\n".join(lines))
        monkeypatch.setattr(mount_table, "_MOUNTS", str(tmp_path / "mountinfo"))
        monkeypatch.setattr(Path, "is_dir", lambda _: True)
        monkeypatch.setattr(os, "geteuid", lambda: 1000)

    return have


def places(spool: str) -> list[str]:
    return [target for _, target, _ in hidden_rows(spool)]


def test_a_spool_is_hidden_at_each_place_where_it_is_mounted(host):
    host(
        "1 0 0:1 / / rw - ext4 /dev/root rw",
        "2 1 0:2 / /data rw shared:1 - ext4 /dev/data rw",
        "3 1 0:2 /files /srv/files rw - ext4 /dev/data rw",
        "4 1 0:2 /files/spool/drop /srv/ftp/drop\\040here rw - ext4 /dev/data rw",
        "5 1 0:2 /other /srv/other rw - ext4 /dev/data rw",
        "6 1 0:1 /files/spool /srv/another-disk rw - ext4 /dev/root rw",
    )
    assert places("/data/files/spool") == [
        "/data/files/spool",
        "/srv/files/spool",
        "/srv/ftp/drop here",
    ]


def test_what_is_mounted_below_a_spool_is_hidden_with_it(host):
    host(
        "1 0 0:1 / / rw - ext4 /dev/root rw",
        "2 1 0:1 /spool/run /spool/copy rw - ext4 /dev/root rw",
    )
    assert places("/spool") == ["/spool"]


def test_a_folder_that_begins_alike_is_not_the_spool(host):
    host("1 0 0:1 / / rw - ext4 /dev/root rw", "2 1 0:1 /spool2 /mnt rw - ext4 /dev/root rw")
    assert places("/spool") == ["/spool"]


def given(attempt, command: Command) -> list[tuple[str, str]]:
    """Return target and mode of what lies in the spool and is given."""
    rows = MountTable().rows(attempt, command, private=False)
    spool = str(attempt.folder.parent.parent)
    return [(target, mode) for source, target, mode in rows if source.startswith(f"{spool}/")]


def test_a_command_is_given_what_it_reads_and_writes_where_that_is_in_the_spool(tmp_path):
    attempt = make_attempt(tmp_path / "spool", service=Service("test", tmp_path / "project"))
    (tmp_path / "link").symlink_to(attempt.input)
    attempt.input.mkdir()
    reads = (Mount(tmp_path / "link", ""), Mount(attempt.service.path, ""), Mount(Path("/etc"), ""))
    command = Command(argv=("true",), environment={}, reads=reads, writes=(Mount(attempt.output, ""),))
    assert given(attempt, command) == [(str(attempt.input), "ro"), (str(attempt.output), "rw")]


def test_a_project_in_the_spool_can_be_written_to_as_anywhere_else(tmp_path):
    project = tmp_path / "spool" / "projects" / "test"
    attempt = make_attempt(tmp_path / "spool", service=Service("test", project))
    command = Command(argv=("true",), environment={}, reads=(Mount(project, str(project)),))
    assert given(attempt, command) == [(str(project), "rw")]


def test_a_private_tmp_comes_first_and_what_lies_below_the_host_s_is_given_back(tmp_path):
    with TemporaryDirectory(dir="/tmp") as folder:
        project, tool = Path(folder).resolve() / "project", Path(folder).resolve() / "tool" / "bin" / "tool"
        for each in (project, tool.parent):
            each.mkdir(parents=True)
        attempt = make_attempt(tmp_path / "spool", service=Service("test", project))
        command = Command(argv=(str(tool),), environment={}, reads=(Mount(project, str(project)),))
        rows = MountTable().rows(attempt, command, private=True)
        assert rows[:2] == ((TMP, "/tmp", "rw"), (EMPTY, os.path.realpath("/dev/shm"), "rw"))
        given = [(str(each), str(each), "rw") for each in (tool.parents[1], project)]
        assert [row for row in rows if row[1].startswith(folder)] == given
        rows = MountTable().rows(attempt, command, private=False)
        assert [row for row in rows if row[1].startswith("/tmp")] == []


@pytest.fixture
def loop(tmp_path):
    """Mount a file system that lies in a file, and return its folder."""
    image, folder = tmp_path / "image", tmp_path / "mounted"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_the_devices_and_the_image_of_a_spool_are_hidden_from_root(loop, tmp_path):
    (loop / "spool").mkdir()
    device = next(
        line.split()[0]
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[1] == str(loop)
    )
    hidden = [(source, target) for source, target, _ in hidden_rows(str(loop / "spool"))]
    assert (os.devnull, device) in hidden
    assert (os.devnull, str(tmp_path / "image")) in hidden
    assert [target for _, target in hidden if not os.path.lexists(target)] == []


async def test_one_row_more_gives_a_program_a_folder_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "of-another").touch()
    rows = MountTable.rows
    private = (EMPTY, str(tmp_path / "tmp"), READ_WRITE)
    monkeypatch.setattr(MountTable, "rows", lambda *arguments, **more: (private, *rows(*arguments, **more)))
    program = f"""
import os
def run():
    open({str(tmp_path / "tmp" / "file")!r}, "w").close()
    return os.listdir({str(tmp_path / "tmp")!r})
"""
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "src" / "program.py").write_text(program)
    runtime = PythonOnHost("namespace", idle=0.2)
    attempt = make_attempt(tmp_path / "spool", service=Service("test", tmp_path / "project"))
    await runtime.start(attempt)
    exit_ = await runtime.wait(attempt)
    await runtime.close()
    assert exit_.returned.read_text() == '["file"]'
    assert [path.name for path in (tmp_path / "tmp").iterdir()] == ["of-another"]


def test_a_new_mount_of_the_spool_is_noticed(tmp_path):
    attempt = make_attempt(tmp_path / "spool")
    command, table = Command(argv=("true",), environment={}), MountTable()
    before = table.rows(attempt, command, private=False)
    assert table.rows(attempt, command, private=False) == before
    (tmp_path / "other").mkdir()
    mounted = subprocess.run(["mount", "--bind", tmp_path / "spool", tmp_path / "other"], check=False)
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        new = [
            target
            for _, target, _ in table.rows(attempt, command, private=False)
            if target not in str(before)
        ]
        assert new == [str(tmp_path / "other")]
    finally:
        subprocess.run(["umount", tmp_path / "other"], check=True)
    assert table.rows(attempt, command, private=False) == before
