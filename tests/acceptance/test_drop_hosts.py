"""The drop folder on real hosts: uploads by real programs, other users, other file systems, small limits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from tests.acceptance import server as servers
from tests.acceptance.server import EXAMPLES, eventually

JOB = b'{"service": "sum", "data": {"values": [20, 22]}}'
OTHER = b'{"service": "sum", "data": {"values": [1]}}'
BAD = int(os.environ.get("TREADLE_BAD_DROPS", "1000"))
"""How many bad files are dropped before a good one."""
REPLACED = int(os.environ.get("TREADLE_REPLACED", "20"))
NOBODY = 65534

SLOW_CHECK = """
import time
from treadle import hookimpl

@hookimpl
def validate_job(job, service):
    time.sleep(float(job.labels.get("slow", "0")))
    return []
"""


def health(server):
    return server.ask("GET", "/-/health").json


def refusal(server, name):
    reason = server.spool / "bad" / f"{name}.reason.json"
    return json.loads(
        eventually(lambda: reason.read_bytes() if reason.exists() else None, f"the refusal of {name}")
    )


def reasons(server) -> list[str]:
    return [json.loads(path.read_bytes())["name"] for path in (server.spool / "bad").glob("*.reason.json")]


def slow(seconds: float) -> bytes:
    job = {"service": "sum", "data": {"values": [2]}, "labels": {"slow": str(seconds)}}
    return json.dumps(job).encode()


@pytest.fixture
def plugins(tmp_path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "slow_check.py").write_text(SLOW_CHECK)
    return folder


@pytest.fixture
def around(tmp_path, monkeypatch):
    """Have servers started by a command that is put before them."""

    def put(command: str) -> None:
        script = tmp_path / "treadle"
        script.write_text(f'#!/bin/sh\n{command} {servers.TREADLE} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setattr(servers, "TREADLE", script)

    return put


def took(server, name: str) -> float:
    """Drop a good file, and return the seconds until its job has ended."""
    begun = time.monotonic()
    server.drop(f"{name}.json", JOB)
    server.dropped(name)
    return time.monotonic() - begun


def test_files_that_replace_others_while_these_are_accepted_run_or_are_refused(serve, plugins):
    server = serve(EXAMPLES / "sum", "--plugins-dir", plugins)
    for number in range(REPLACED):
        server.drop(f"job-{number}.json", slow(0.2))
    time.sleep(0.1)  # somewhere in the check
    for number in range(REPLACED):
        server.drop(f"job-{number}.json", OTHER)

    def outcome(number: int) -> bool:
        job = server.spool / "done" / f"job-{number}" / "job.json"
        bad = server.spool / "bad" / f"job-{number}.json"
        ran = json.loads(job.read_bytes()).get("data") if job.exists() else None
        return ran == {"values": [1]} or (bad.exists() and bad.read_bytes() == OTHER)

    eventually(lambda: all(outcome(number) for number in range(REPLACED)), "an outcome of each", 60)
    assert list((server.spool / "drop").iterdir()) == []


def test_a_good_file_does_not_wait_behind_bad_ones(serve, tmp_path):
    server = serve(EXAMPLES / "sum")
    took(server, "warm")
    bad = tmp_path / "bad"
    bad.mkdir()
    for number in range(BAD):
        (bad / f"bad-{number}.json").write_bytes(b'{"service": "sum", "prams": {}}')
    for path in bad.iterdir():
        path.rename(server.spool / "drop" / path.name)
    assert took(server, "good") < 5  # 0.5 s on a machine that does nothing else
    eventually(lambda: not list((server.spool / "drop").iterdir()), "the refusals", 600)


def test_a_good_file_does_not_wait_behind_slow_checks(serve, plugins):
    server = serve(EXAMPLES / "sum", "--plugins-dir", plugins)
    took(server, "warm")
    for number in range(8):
        server.drop(f"slow-{number}.json", slow(5))
    assert took(server, "good") < 4


def test_a_drop_folder_that_is_removed_and_made_again_is_watched(serve):
    server = serve(EXAMPLES / "sum", "--rescan", "1000")
    drop = server.spool / "drop"
    drop.rmdir()
    eventually(lambda: any("drop" in each for each in health(server)["problems"]), "the problem")
    assert not health(server)["ready"]
    drop.mkdir()
    eventually(lambda: health(server)["ready"], "the new watch")
    assert took(server, "mine") < 5
    lines = [line for line in server.log.read_text().splitlines() if "drop" in line]
    assert len(lines) < 8


@pytest.mark.parametrize("instances", [0, 1, 2])
def test_where_the_kernel_watches_nothing_the_folders_are_polled(serve, around, instances):
    limit = f"echo {instances} > /proc/sys/user/max_inotify_instances"
    probe = subprocess.run(["unshare", "-r", "sh", "-c", limit], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("this user may not have user namespaces")
    around(f'exec unshare -r sh -c \'{limit}; exec "$0" "$@"\'')
    server = serve(EXAMPLES / "sum", "--rescan", "1000")
    for number in range(3):
        assert took(server, f"job-{number}") < 5
    assert server.result(server.submit({"values": [1]}))["result"] == {"sum": 1}
    assert health(server)["ready"]
    assert any("max_user_instances" in note for note in health(server)["notes"])
    lines = [line for line in server.log.read_text().splitlines() if "inotify" in line]
    assert 1 <= len(lines) <= 2
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
def ordinary(around):
    """Have servers run without the rights of root over other users' files."""
    if os.geteuid() != 0:
        pytest.skip("only root may give files to another user")
    around("exec setpriv --bounding-set=-fowner,-dac_override,-dac_read_search,-lease")


def theirs(path: Path) -> Path:
    os.chown(path, NOBODY, NOBODY)
    return path


@pytest.mark.usefixtures("ordinary")
def test_a_file_that_can_t_be_removed_runs_once_and_is_told(serve):
    server = serve(EXAMPLES / "sum")
    drop = server.spool / "drop"
    theirs(drop).chmod(0o1777)
    (drop / ".mine").write_bytes(JOB)
    theirs(drop / ".mine").rename(drop / "mine.json")
    eventually(lambda: any("'mine.json'" in note for note in health(server)["notes"]), "the note")
    shutil.rmtree(server.dropped("mine"))
    assert health(server)["ready"]
    took(server, "other")
    server.stop()
    server = serve(EXAMPLES / "sum", "--rescan", "0.2")
    eventually(lambda: any("'mine.json'" in note for note in health(server)["notes"]), "the note")
    took(server, "another")
    assert not (server.spool / "done" / "mine").exists()
    assert reasons(server) == []
    assert server.log.read_text().count("'mine.json'") == 2  # once for each start
    assert (drop / "mine.json").exists()


@pytest.mark.usefixtures("ordinary")
def test_another_user_s_folder_blocks_nothing(serve):
    server = serve(EXAMPLES / "sum", "--rescan", "0.2")
    drop = server.spool / "drop"
    (drop / "theirs").mkdir(mode=0o755)
    (drop / "theirs" / "file").touch()
    theirs(drop / "theirs")
    assert took(server, "mine") < 5
    assert refusal(server, "theirs")["code"] in {"NOT_A_FILE", "UNREADABLE"}
    eventually(lambda: any("'theirs'" in note for note in health(server)["notes"]), "the note")
    assert took(server, "other") < 5
    assert reasons(server) == ["theirs"]


@pytest.mark.usefixtures("ordinary")
def test_a_file_whose_owner_allows_to_read_it_a_moment_later_is_taken(serve):
    server = serve(EXAMPLES / "sum")
    drop = server.spool / "drop"
    (drop / ".mine").write_bytes(JOB)
    (drop / ".mine").chmod(0o600)
    theirs(drop / ".mine").rename(drop / "mine.json")
    took(server, "other")  # mine.json was looked at before
    (drop / "mine.json").chmod(0o644)
    server.dropped("mine")


def test_a_drop_folder_on_another_file_system_is_served(serve):
    server = serve(EXAMPLES / "sum")
    server.stop()
    drop = server.spool / "drop"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", drop], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount")
    try:
        server = serve(EXAMPLES / "sum")
        server.drop("bad.json", b"{}")
        (drop / "folder.json").mkdir()
        assert took(server, "mine") < 5
        assert refusal(server, "bad.json")["code"] == "INVALID_JOB"
        assert refusal(server, "folder.json")["code"] == "NOT_A_FILE"
        eventually(lambda: sorted(path.name for path in drop.iterdir()) == ["folder.json"], "the moves")
        eventually(lambda: any("'folder.json'" in note for note in health(server)["notes"]), "the note")
        server.stop()
    finally:
        subprocess.run(["umount", "--lazy", drop], check=True)


@pytest.mark.parametrize("suffix", [".filepart", ".partial", ".crdownload", ".XyZabC", ""])
def test_an_upload_under_a_temporary_name_is_not_torn_away(serve, suffix):
    server = serve(EXAMPLES / "sum")
    drop = server.spool / "drop"
    name = f"mine.json{suffix}" if suffix else Path(tempfile.mkdtemp(dir=server.spool.parent)).name
    with (drop / name).open("wb") as upload:
        upload.write(JOB[:10])
        upload.flush()
        took(server, "other")
        upload.write(JOB[10:])
    (drop / name).rename(drop / "mine.json")
    server.dropped("mine")
    assert reasons(server) == []


def needs(*programs: str) -> None:
    for program in programs:
        if not (shutil.which(program) or Path(program).exists()):
            pytest.skip(f"there is no {program} on this host")


def sent(job: Path, drop: Path, how: str) -> None:
    """Copy a file into drop/ as people do."""
    sftp = "/usr/lib/openssh/sftp-server"
    commands = {
        "cp": ["cp", job, drop],
        "mv": ["mv", job, drop],
        "install": ["install", "-m", "644", job, drop],
        "rsync": ["rsync", "-a", job, f"{drop}/"],
        "rsync --inplace": ["rsync", "-a", "--inplace", job, f"{drop}/"],
        "rsync, slowly": ["rsync", "-a", "--bwlimit=200", job, f"{drop}/"],
        "rclone": ["rclone", "--config", "/dev/null", "copy", job, drop],
        "sftp": ["sftp", "-q", "-b", "-", "-D", sftp],
    }
    needs(how.split(",", maxsplit=1)[0].split(maxsplit=1)[0], *([sftp] if how in {"sftp", "scp"} else []))
    if how == "scp":
        ssh = job.with_name("ssh")
        ssh.write_text(f"#!/bin/sh\nexec {sftp}\n")
        ssh.chmod(0o755)
        commands["scp"] = ["scp", "-q", "-s", "-S", ssh, job, f"host:{drop}/"]
    batch = f"put {job} {drop}/{job.name}\n" if how == "sftp" else ""
    subprocess.run(commands[how], input=batch.encode(), check=True, capture_output=True)


@pytest.mark.parametrize(
    "how",
    ["cp", "mv", "install", "rsync", "rsync --inplace", "rsync, slowly", "scp", "sftp", "rclone"],
)
def test_what_a_real_program_copies_runs(serve, tmp_path, how):
    server = serve(EXAMPLES / "sum", "--rescan", "0.05")
    values = list(range(60_000))
    job = tmp_path / "mine.json"
    job.write_text(json.dumps({"service": "sum", "data": {"values": values}}))
    sent(job, server.spool / "drop", how)
    done = server.dropped("mine")
    assert json.loads((done / "result.json").read_bytes())["result"] == {"sum": sum(values)}
    assert reasons(server) == []


def test_a_name_that_is_written_several_times_before_it_is_whole_is_one_job(serve):
    """As clients of Samba do: create, close, open again, write in pieces, rename."""
    server = serve(EXAMPLES / "sum", "--rescan", "0.05")
    drop = server.spool / "drop"
    (drop / "New Text Document.txt").touch()
    (drop / "New Text Document.txt").rename(drop / "mine.json")
    with (drop / "mine.json").open("r+b") as file:
        for start in range(0, len(JOB), 10):
            file.write(JOB[start : start + 10])
            file.flush()
            time.sleep(0.05)
    server.dropped("mine")
    assert reasons(server) == []


def test_a_file_of_a_windows_editor_is_refused_in_words(serve):
    server = serve(EXAMPLES / "sum")
    server.drop("mine.json", b"\xef\xbb\xbf" + JOB)
    assert "byte order mark" in refusal(server, "mine.json")["detail"]
