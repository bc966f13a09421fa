"""A host that has less than usual: no home, no writable disk, no terminal; and addresses of all kinds."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from configparser import RawConfigParser
from contextlib import contextmanager, suppress
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from tests.acceptance.command import assert_one_clear_line, treadle
from tests.acceptance.server import EXAMPLES, TREADLE, Server, eventually

UNIT = Path(__file__).parents[2] / "contrib" / "systemd" / "treadle.service"
NOBODY = ["unshare", "--user", "--map-user=54321", "--map-group=54321"]
"""Runs a command as a user that has no entry in /etc/passwd, with the files of this one."""
NO_HOME = ["env", "-u", "HOME", "-u", "XDG_STATE_HOME", "-u", "XDG_CONFIG_HOME", *NOBODY]

PAGE = 4096
"""Bytes that the smallest pipe holds before who writes to it has to wait."""


@pytest.fixture
def nobody() -> None:
    """Skip the test where there are no user namespaces."""
    if shutil.which("unshare") is None or subprocess.run([*NOBODY, "true"], check=False).returncode:
        pytest.skip("there are no user namespaces on this host")


@contextmanager
def serving(spool: Path, *arguments: object, around: list[str] = [], **streams: int) -> Iterator[str]:  # noqa: B006  # it is not changed
    """`treadle serve` of the example `sum`, on a port that is known before; yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        *around,
        str(TREADLE),
        "serve",
        str(EXAMPLES / "sum"),
        "--spool",
        str(spool),
        "--port",
        str(port),
    ]
    with subprocess.Popen([*command, *map(str, arguments)], **streams) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            eventually(lambda: answers(url) or process.poll() is not None, "the server to answer")
            yield url
        finally:
            process.terminate()
            process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/-/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_user_without_home_and_name_needs_only_a_spool(nobody, tmp_path):
    with serving(tmp_path / "spool", around=NO_HOME):
        where = ["--spool", tmp_path / "spool"]
        ran = treadle(
            "submit", *where, "--service", "sum", "--data", '{"values": [20, 22]}', "--wait", around=NO_HOME
        )
    assert (ran.returncode, json.loads(ran.stdout)["result"]) == (0, {"sum": 42}), ran.stderr


def test_a_user_without_home_and_name_is_told_what_to_set(nobody):
    for arguments in (["serve", EXAMPLES / "sum"], ["list"], ["gc", "--days", "1"], ["logs", "x"]):
        assert_one_clear_line(treadle(*arguments, around=NO_HOME), "set HOME or XDG_STATE_HOME")
    assert_one_clear_line(treadle("status", "x", TREADLE_PORT="1", around=NO_HOME), "can't be reached")
    assert_one_clear_line(treadle("nonsense", around=NO_HOME), "No such command")
    plugins = treadle("plugins", around=NO_HOME)
    assert (plugins.returncode, "BROKEN" in plugins.stdout, plugins.stderr) == (0, False, "")
    assert treadle("run", EXAMPLES / "sum", around=NO_HOME).returncode == 0


@pytest.mark.parametrize("command", ["serve", "status", "list", "submit", "gc", "logs"])
def test_a_spool_that_this_user_may_not_read_is_one_clear_line(nobody, tmp_path, command):
    spool = tmp_path / "closed" / "spool"
    spool.mkdir(parents=True)
    (tmp_path / "closed").chmod(0)
    arguments = {
        "serve": [EXAMPLES / "sum"],
        "list": [],
        "submit": ["--service", "sum"],
        "gc": ["--days", "1"],
    }.get(command, ["x"])
    ran = treadle(command, *arguments, "--spool", spool, around=NOBODY)
    (tmp_path / "closed").chmod(0o700)
    assert_one_clear_line(ran, "Permission denied")


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("file", "is not a folder"),
        ("file/below", "is not a folder"),
        ("foreign", "is not empty and not a spool"),
        ("damaged", "can't be read"),
        ("newer", "format 99"),
        ("/proc/spool", "can't be made"),
        ("/dev/null", "is not a folder"),
    ],
)
def test_a_folder_that_can_t_be_a_spool_is_one_clear_line(tmp_path, place, words):
    (tmp_path / "file").touch()
    for name, file, content in (
        ("foreign", "mine", ""),
        ("damaged", "spool.json", "{"),
        ("newer", "spool.json", '{"format": 99, "id": "x"}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text(content)
    before = sorted(tmp_path.rglob("*"))
    for options in ([], ["--api-only"]) if place == "file" else ([],):
        ran = treadle("serve", EXAMPLES / "sum", "--port", "0", "--spool", tmp_path / place, *options)
        assert_one_clear_line(ran, words)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_disk_that_is_read_only_is_one_clear_line(serve, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", disk], check=True)
    try:
        with serving(disk / "spool"):
            arguments = ["--spool", disk / "spool", "--service", "sum", "--data", '{"values": [1]}']
            job = treadle("submit", *arguments, "--wait").stderr.strip().removeprefix("job ")
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for spool in (disk / "spool", disk / "new"):
            ran = treadle("serve", EXAMPLES / "sum", "--port", "0", "--spool", spool)
            assert_one_clear_line(ran, "Read-only file system")
        assert_one_clear_line(treadle("submit", *arguments), "Read-only file system")
        assert treadle("result", job, "--spool", disk / "spool").returncode == 0
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_disk_without_hard_links_is_one_clear_line(needs_strace, serve, tmp_path, is_new):
    if not is_new:
        serve(EXAMPLES / "sum").stop()
    fault = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=link,linkat:error=EPERM"]
    ran = treadle("serve", EXAMPLES / "sum", "--port", "0", "--spool", tmp_path / "spool", around=fault)
    assert_one_clear_line(ran, "is on a disk without hard links")
    assert not [each for each in (tmp_path / "spool").iterdir() if each.name.startswith(".")]


@pytest.mark.parametrize(
    ("host", "words"),
    [("nowhere.invalid", "--host"), ("192.0.2.1", "--host"), ("a..b", "--host"), ("x" * 70, "--host")],
)
def test_an_address_that_is_not_here_is_one_clear_line(tmp_path, host, words):
    ran = treadle("serve", EXAMPLES / "sum", "--spool", tmp_path / "spool", "--port", "0", "--host", host)
    assert_one_clear_line(ran, words)


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", "::1", "::"])
def test_the_url_that_is_printed_works(serve, host):
    if ":" in host and not has_ipv6():
        pytest.skip("there is no IPv6 on this host")
    server = serve(EXAMPLES / "sum", "--host", host)
    ran = treadle("submit", "--url", server.url, "--data", '{"values": [1]}', "--wait")
    assert ran.returncode == 0, ran.stderr
    assert ("listening beyond this host" in server.log.read_text()) == (host in {"0.0.0.0", "::"})


def addresses_of_a_link() -> list[str]:
    """Return the IPv6 addresses of this host that need their interface's name."""
    with suppress(FileNotFoundError):
        lines = [line.split() for line in Path("/proc/net/if_inet6").read_text().splitlines()]
        return [f"{IPv6Address(bytes.fromhex(line[0]))}%{line[-1]}" for line in lines if line[3] == "20"]
    return []


@pytest.mark.parametrize("host", addresses_of_a_link()[:1])
def test_the_url_of_one_link_names_the_link(serve, host):
    server = serve(EXAMPLES / "sum", "--host", host)
    ran = treadle("submit", "--url", server.url, "--data", '{"values": [1]}', "--wait")
    assert ran.returncode == 0, ran.stderr


def test_a_terminal_that_ends_does_not_end_the_engine(serve):
    server: Server = serve(EXAMPLES / "interim")
    assert server.process is not None
    job = server.submit({"values": [1, 2, 3]}, {"delay": 0.3})
    for _ in range(3):
        server.process.send_signal(signal.SIGHUP)
        assert server.ask("GET", "/-/health").status == 200
    assert server.ended(job)["status"] == "SUCCEEDED"
    assert server.stop() == 0


def test_programs_do_not_inherit_that_the_end_of_a_terminal_is_ignored(serve, project):
    look = "import signal\ndef run():\n    return signal.getsignal(signal.SIGHUP) == signal.SIG_DFL\n"
    server = serve(project(look))
    assert server.result(server.submit()) is True


def test_a_server_that_can_t_print_serves_on(tmp_path):
    read, write = os.pipe()
    os.close(read)
    with Path("/dev/full").open("w") as full, (tmp_path / "log").open("w") as log:
        for number, stream in enumerate((full.fileno(), write)):
            with serving(tmp_path / str(number), stdout=stream, stderr=log.fileno()) as url:
                ran = treadle("submit", "--url", url, "--data", '{"values": [1]}', "--wait")
                assert ran.returncode == 0, ran.stderr
    os.close(write)
    assert (tmp_path / "log").read_text().count("standard output can't be written") == 2


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_server_whose_output_nobody_reads_serves_on(tmp_path, project, stream):
    for number in range(80):
        project("def run():\n    return 1\n", name=f"service-{number}")
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PAGE)
    spool = tmp_path / "spool"
    with serving(spool, "--services", tmp_path / "projects", **{stream: write}) as url:
        for number in range(80):  # each is a line in the log
            (spool / "drop" / f"no-job-{number}.json").write_text("{")
        eventually(lambda: len(list((spool / "bad").glob("*.reason.json"))) == 80, "the refusals")
        ran = treadle("submit", "--url", url, "--service", "sum", "--data", '{"values": [1]}', "--wait")
        assert ran.returncode == 0, ran.stderr
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert pipe.read().count(b"\n") < 80  # it was full


def test_the_unit_spares_the_engine_and_leaves_jobs_their_devices():
    unit = RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # systemd's keys have capitals
    unit.read(UNIT)
    service = dict(unit["Service"])
    assert int(service["OOMScoreAdjust"]) < 0
    assert service["OOMPolicy"] == "continue"
    assert {"LimitNOFILE", "TasksMax", "UMask"} <= service.keys()
    assert not {"ProtectClock", "PrivateDevices", "DevicePolicy", "DeviceAllow"} & service.keys()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_reads_the_unit(tmp_path):
    unit = tmp_path / "treadle.service"
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/treadle", sys.executable))
    ran = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert "treadle.service" not in ran.stderr, ran.stderr
