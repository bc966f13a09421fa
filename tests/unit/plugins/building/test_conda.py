"""Environments of conda: how one is found, and the variables of its activation."""

from __future__ import annotations

import json

import pytest

from treadle_python.building.conda import activated, command_to_make, is_prefix, prefix_named


@pytest.fixture
def prefix(tmp_path):
    path = tmp_path / "envs" / "quantum"
    (path / "conda-meta").mkdir(parents=True)
    (path / "etc" / "conda" / "activate.d").mkdir(parents=True)
    (path / "etc" / "conda" / "env_vars.d").mkdir()
    return path


def test_a_prefix_has_the_variables_of_its_packages_its_state_and_its_scripts(prefix):
    (prefix / "etc/conda/env_vars.d/pkg.json").write_text('{"FROM_PACKAGE": "1", "BOTH": "package"}')
    state = {"env_vars": {"BOTH": "state", "UNWANTED": "***unset***"}}
    (prefix / "conda-meta" / "state").write_text(json.dumps(state))
    script = 'export FROM_SCRIPT="$CONDA_PREFIX and\nmore" LATE=1; unset GOES; echo noise\n'
    (prefix / "etc/conda/activate.d/a.sh").write_text(script)
    (prefix / "etc/conda/activate.d/b.sh").write_text("export LATE=$((LATE + 1))\n")
    variables = activated(prefix, {"PATH": "/usr/bin:/bin", "UNWANTED": "1", "GOES": "1"})
    assert variables == {
        "PATH": "/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": "quantum",
        "CONDA_SHLVL": "1",
        "FROM_PACKAGE": "1",
        "BOTH": "state",
        "FROM_SCRIPT": f"{prefix} and\nmore",
        "LATE": "2",
    }


def test_a_changed_script_counts_the_next_time(prefix):
    script = prefix / "etc/conda/activate.d/a.sh"
    script.write_text("export VALUE=1\n")
    assert activated(prefix, {})["VALUE"] == "1"
    script.unlink()
    assert "VALUE" not in activated(prefix, {})


def test_a_script_that_fails_is_logged_and_the_rest_counts(prefix, caplog):
    (prefix / "etc/conda/activate.d/a.sh").write_text("exit 3\n")
    assert activated(prefix, {})["CONDA_PREFIX"] == str(prefix)
    assert "activation scripts" in caplog.text


def test_a_prefix_is_found_by_the_name_in_environment_yml(prefix, tmp_path, monkeypatch):
    file = tmp_path / "environment.yml"
    file.write_text("channels: [x]\nname: quantum  # ours\ndependencies: [numpy]\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CONDA_EXE", raising=False)
    monkeypatch.delenv("MAMBA_ROOT_PREFIX", raising=False)
    assert prefix_named(file) is None
    (tmp_path / ".conda").mkdir()
    (tmp_path / ".conda" / "environments.txt").write_text(f"/nowhere/quantum\n{prefix}\n")
    assert prefix_named(file) == prefix
    assert is_prefix(prefix)


def test_the_command_that_makes_a_prefix_can_be_copied(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    command = command_to_make(tmp_path, tmp_path / "my env.yml", tmp_path / ".venv")
    assert command == f"conda env create --prefix {tmp_path}/.venv --file '{tmp_path}/my env.yml'"
