"""Settings and discovery: the client commands find what `serve` runs with, and a fault is one line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.server import EXAMPLES, TREADLE

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def treadle(tmp_path: Path) -> Run:
    """Run the command line as a user whose home is below tmp_path; `toml` is the user's engine.toml."""
    home = tmp_path / "home"
    (home / ".config" / "treadle").mkdir(parents=True)

    def run(*arguments: object, toml: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        (home / ".config" / "treadle" / "engine.toml").write_text(toml)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
        return subprocess.run(
            [TREADLE, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**inherited, "HOME": str(home), **environment},
        )

    return run


@pytest.fixture(scope="module")
def server(module_server):
    return module_server("--services", EXAMPLES)


@pytest.fixture
def toml(server) -> str:
    """The engine.toml of the server."""
    return f'host = "0.0.0.0"\nport = {server.url.rpartition(":")[2]}\nspool = "{server.spool}"\n'


def test_a_client_finds_the_server_and_the_spool_by_the_settings_of_serve(treadle, toml):
    data = ["--service", "sum", "--data", '{"values": [20, 22]}']
    job = treadle("submit", *data, toml=toml).stdout.strip()
    assert treadle("wait", job, "--service", "sum", toml=toml).returncode == 0
    result = treadle("result", job, "--service", "sum", toml=toml)
    assert json.loads(result.stdout)["result"] == {"sum": 42}
    assert job in [each["id"] for each in json.loads(treadle("list", "--json", toml=toml).stdout)]
    assert treadle("logs", job, toml=toml).returncode == 0
    removed = treadle("gc", "--jobs", "0", "--dry-run", toml=toml)
    assert job in removed.stdout


def test_an_engine_toml_may_be_named(treadle, toml, tmp_path):
    (tmp_path / "mine.toml").write_text(toml)
    listed = treadle("list", "--config", tmp_path / "mine.toml")
    assert (listed.returncode, listed.stderr) == (0, "")
    assert treadle("list", TREADLE_CONFIG=str(tmp_path / "mine.toml")).returncode == 0


def test_a_spool_is_listed_also_where_a_server_is_named(treadle, server):
    listed = treadle("list", "--spool", server.spool, TREADLE_URL="http://127.0.0.1:1")
    assert (listed.returncode, listed.stderr) == (0, "")


def test_the_environment_wins_over_engine_toml_and_a_flag_over_both(treadle, server):
    port = server.url.rpartition(":")[2]
    status = ["status", "nothing", "--service", "sum"]
    found = "no job named 'nothing'"
    assert found in treadle(*status, toml="port = 1\n", TREADLE_PORT=port).stderr
    assert found in treadle(*status, "--url", server.url, toml="port = 1\n", TREADLE_PORT="1").stderr
    assert found in treadle(*status, "--spool", server.spool, toml="port = 1\n").stderr
    assert found in treadle(*status, toml="port = 1\n", TREADLE_URL=server.url).stderr
    assert found in treadle(*status, toml="port = 1\n", TREADLE_SPOOL=str(server.spool)).stderr
    assert "http://127.0.0.1:1 can't be reached" in treadle(*status, toml="port = 1\n").stderr
    assert "http://[::1]:1 can't be reached" in treadle(*status, toml='host = "::"\nport = 1\n').stderr


@pytest.mark.parametrize(
    ("arguments", "toml", "words"),
    [
        (["logs", "x"], "", "there is no spool at {home}/.local/state/treadle/spool (the default"),
        (["gc", "--jobs", "1"], 'spool = "~/mine"', "there is no spool at {home}/mine (`spool` in {home}/"),
        (["list"], 'spool = "~/mine"', "name the folder with --spool or TREADLE_SPOOL"),
        (["status", "x"], "port = 0", "the server's port is chosen when it starts (port = 0)"),
        (["status", "x"], "port = 2.5", "engine.toml, line 1: port must be a whole number, not 2.5"),
        (["plugins"], "\njobs = 2.5", "engine.toml, line 2: jobs must be a whole number, not 2.5"),
        (["plugins"], "host = 5", "engine.toml, line 1: host must be a string, not 5"),
        (["doctor"], 'tidy = "x"', "engine.toml, line 1: tidy must be a number, not 'x'"),
        (["plugins"], "[plugins.docker]\nurll = 1", "line 2: unknown key 'urll' in [plugins.docker]"),
        (["plugins"], "[plugins.dokcer]", "line 1: [plugins.dokcer]: there is no plugin named 'dokcer'"),
        (["serve", EXAMPLES / "sum"], "[plugins.dokcer]", "did you mean 'docker'?"),
        (["plugins", "--disable", "pdoman"], "", "no plugin named 'pdoman'; did you mean 'podman'?"),
        (["plugins", "--prefer", "container"], "", "'container' is a kind of runtimes"),
        (
            ["plugins"],
            '\nplugins_dir = "x"',
            "/engine.toml, line 2: plugins_dir: there is no folder {home}/.config/",
        ),
        (
            ["serve", EXAMPLES / "sum"],
            'data_pools = "/nothing"',
            "line 1: data_pools: there is no folder /nothing",
        ),
        (["serve"], 'services = "/nothing"', "line 1: services: there is no folder /nothing"),
        (
            ["list"],
            'spool = "~nobody-here/x"',
            "spool must be a path below the home of a known user, not '~nob",
        ),
        (["list"], 'spool = ""', "engine.toml, line 1: spool must be a non-empty path, not ''"),
        (["list"], 'spool = "s"\nservices = "/gone"', "there is no spool at {home}/.config/treadle/s ("),
        (["plugins", "--prefer", "pdoman"], "", "no runtime named 'pdoman'; did you mean 'podman'?"),
    ],
)
def test_a_fault_in_the_settings_is_one_clear_line(treadle, tmp_path, arguments, toml, words):
    answer = treadle(*arguments, toml=toml)
    assert answer.returncode == 1
    assert words.format(home=tmp_path / "home") in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_wrong_value_in_the_environment_is_reported_with_the_variable(treadle):
    assert "TREADLE_PORT must be a whole number, not 'x'" in treadle("status", "x", TREADLE_PORT="x").stderr
    assert "Invalid value for 'TREADLE_JOBS': '2.5'" in treadle("serve", TREADLE_JOBS="2.5").stderr
    assert "'--jobs': '2.5'" in treadle("serve", "--jobs", "2.5").stderr
    assert "'pdoman'" in treadle("plugins", TREADLE_DISABLE="markers pdoman").stderr
    assert "TREADLE_PORT must be a whole number, not 'x'" in treadle("status", "x", TREADLE_PORT=" x ").stderr
    assert "'TREADLE_JOBS': '2.5'" in treadle("serve", TREADLE_JOBS=" 2.5\n").stderr
    listed = json.loads(treadle("plugins", "--json", TREADLE_DISABLE="markers podman").stdout)
    assert {each["name"] for each in listed if each["disabled"]} == {"markers", "podman"}


def test_white_space_around_a_variable_s_value_does_not_count(treadle, server):
    for name, value in (("TREADLE_URL", server.url), ("TREADLE_SPOOL", server.spool)):
        answer = treadle("status", "x", TREADLE_SERVICE=" sum ", **{name: f" {value}\n"})
        assert "no job named 'x'" in answer.stderr
    assert treadle("plugins", TREADLE_PLUGINS_DIR="  ", TREADLE_CONFIG=" ").returncode == 0


def test_a_path_of_a_flag_is_checked_too(treadle, tmp_path):
    for command, words in (
        (["list", "--spool", ""], "It must be a non-empty path, not ''"),
        (["serve", EXAMPLES / "sum", "--spool", "~nobody-here/x"], "below the home of a known user"),
        (["plugins", "--plugins-dir", ""], "It must be a non-empty path"),
        (["list", "--spool", "nothing"], f"{Path.cwd() / 'nothing'} is not a spool"),
    ):
        answer = treadle(*command)
        assert words in answer.stderr
        assert "Traceback" not in answer.stderr


def test_an_unknown_home_is_reported_without_a_traceback(treadle):
    answer = treadle("plugins", XDG_STATE_HOME="~nobody-here")
    assert (answer.returncode, answer.stderr.count("\n")) == (1, 1)
    assert "below an unknown home" in answer.stderr


def test_help_needs_no_valid_settings(treadle):
    assert "Commands:" in treadle("--help", toml="jobs = 2.5\n[plugins.nothing]\n").stdout


def test_a_fault_in_treadle_toml_is_one_clear_line(treadle, tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "treadle.toml").write_text('[host]\nstart = "spwan"\n')
    answer = treadle("run", project)
    assert answer.returncode == 1
    assert "treadle.toml, line 2: start in [host] must be 'fork' or 'spawn', not 'spwan'" in answer.stderr
    assert answer.stderr.count("\n") == 1
