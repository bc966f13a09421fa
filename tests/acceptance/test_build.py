"""From a clone to a result: `treadle build` makes what a Python service requires."""

from __future__ import annotations

import fcntl
import json
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.acceptance.building import build, environments, needing, without_network
from tests.acceptance.command import assert_one_clear_line, treadle
from tests.wheels import make_wheel
from treadle import StartError
from treadle_python.building.interpreters import ask, choose
from treadle_python.building.version_request import VersionRequest

OWN = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture
def with_pip(tmp_path):
    """Return the variables that have pip used where uv is there too."""
    config = tmp_path / "engine.toml"
    config.write_text('[plugins.python-template]\ninstaller = "pip"\n')
    return {"TREADLE_CONFIG": str(config)}


def result_of(path: Path, *arguments: object, **environment: str):
    ran = treadle("run", path, *arguments, **environment)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    return json.loads(ran.stdout)


@pytest.mark.parametrize("installer", ["auto", "pip"])
def test_without_a_network_a_wheel_folder_leads_to_a_result(project, with_pip, tmp_path, installer):
    isolated, path = without_network(), needing(project)
    (path / "wheels").rename(tmp_path / "wheels")
    variables = with_pip if installer == "pip" else {}
    ran = treadle(
        "build", path, "--offline", "--find-links", tmp_path / "wheels", around=isolated, **variables
    )
    assert ran.returncode == 0, ran.stderr
    assert f"with Python {OWN}" in ran.stdout
    ran = treadle("run", path, around=isolated)
    (digest,) = environments(path)
    assert json.loads(ran.stdout) == {
        "version": "1.0",
        "prefix": str(path / ".venvs" / digest),
        "python": OWN,
    }
    assert (path / ".venv").readlink() == Path(".venvs", digest)


@pytest.mark.parametrize("installer", ["auto", "pip"])
def test_offline_no_package_index_is_asked(project, with_pip, installer):
    path = needing(project)
    with socket.create_server(("127.0.0.1", 0)) as index:
        url = f"http://127.0.0.1:{index.getsockname()[1]}/simple"
        variables = {"UV_DEFAULT_INDEX": url, "PIP_INDEX_URL": url, "PIP_TIMEOUT": "1", "PIP_RETRIES": "0"}
        build(path, **variables, **(with_pip if installer == "pip" else {}))
        index.setblocking(False)
        with pytest.raises(BlockingIOError):
            index.accept()


@cache
def other_pythons() -> list[str]:
    """Return the versions of the Pythons of this host that run programs, without the tests' own."""
    found = []
    for minor in range(8, 20):
        try:
            python = choose(Path(), VersionRequest(f"3.{minor}", "the test"))
        except StartError:
            continue
        if python.version[:2] != sys.version_info[:2]:
            found.append(f"3.{python.version[1]}")
    return found


@pytest.mark.parametrize("origin", [".python-version", "treadle.toml", "pyproject.toml"])
def test_a_project_gets_the_python_that_it_asks_for(project, origin):
    others = other_pythons()
    if not others:
        pytest.skip(f"this host has Python {OWN} only")
    for version in [others[-1], OWN] if origin == ".python-version" else others[:1]:
        toml = f'python = "{version}"\n' if origin == "treadle.toml" else ""
        path = needing(project, toml=toml, name=f"python-{version.replace('.', '-')}")
        if origin == ".python-version":
            (path / origin).write_text(f"{version}\n")
        elif origin == "pyproject.toml":
            (path / origin).write_text(f'[project]\nname = "x"\nrequires-python = "=={version}.*"\n')
        build(path)
        assert result_of(path)["python"] == version


def test_numpy_is_installed_from_the_index_and_again_from_its_wheels_without_a_network(project, tmp_path):
    isolated, path = (
        without_network(),
        project("import numpy\ndef run():\n    return int(numpy.arange(4).sum())\n"),
    )
    (path / "requirements.txt").write_text("numpy\n")
    ran = treadle("wheels", path)
    if "no package index can be reached" in ran.stderr:
        pytest.skip("no package index can be reached")
    assert ran.returncode == 0, ran.stderr
    for around in ([], isolated):
        (path / "requirements.txt").write_text("numpy\n" + "#" * len(around))
        ran = treadle("build", path, *(["--offline"] if around else []), around=around)
        assert ran.returncode == 0, ran.stderr
        assert result_of(path, around=around) == 6
    assert len(environments(path)) == 2


def test_it_is_made_again_only_when_what_it_was_made_from_has_changed(project):
    path = needing(project)
    build(path)
    (first,) = environments(path)
    record = path / ".venvs" / first / "made.json"
    made = record.stat()
    assert "what it was made from is the same" in build(path).stdout
    assert (record.stat().st_ino, record.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert result_of(path)["version"] == "1.0"
    (path / "requirements.txt").write_text("needed==2.0\n")
    build(path)
    assert result_of(path)["version"] == "2.0"
    (path / "requirements.txt").write_text("needed==1.0\n")
    assert "what it was made from is the same" in build(path).stdout
    assert result_of(path)["version"] == "1.0"
    assert len(environments(path)) == 2


@pytest.mark.parametrize("requirements", ["needed==1.0\n", ""])
def test_a_project_that_is_copied_gets_an_environment_of_its_own(project, tmp_path, requirements):
    path, copy = needing(project, "import sys\ndef run():\n    return sys.prefix\n"), tmp_path / "copy"
    (path / "requirements.txt").write_text(requirements)
    (path / ".python-version").write_text(OWN)
    build(path)
    shutil.copytree(path, copy, symlinks=True)
    assert "what its environment was made from has changed" in treadle("run", copy).stderr
    build(copy)
    (own,) = {*environments(copy)} - {*environments(path)}
    assert result_of(copy) == str(copy / ".venvs" / own)


def test_what_is_set_for_other_environments_does_not_count(project, with_pip, tmp_path):
    path = needing(project)
    ran = treadle("build", path, "--offline", PIP_TARGET=str(tmp_path / "elsewhere"), **with_pip)
    assert ran.returncode == 0, ran.stderr
    assert result_of(path)["version"] == "1.0"
    assert not (tmp_path / "elsewhere").exists()


def test_earlier_environments_are_removed_when_that_is_asked_for(project):
    path = needing(project)
    for number in range(2):
        (path / "requirements.txt").write_text(f"needed==1.0{' ' * number}\n")
        told = build(path).stdout
    assert "treadle build --prune" not in told
    (path / "requirements.txt").write_text("needed==1.0 # again\n")
    assert "treadle build --prune" in build(path).stdout
    assert len(environments(path)) == 3
    build(path, "--prune")
    assert len(environments(path)) == 2
    assert result_of(path)["version"] == "1.0"


def test_a_venv_of_the_user_s_own_is_used_and_not_touched(project):
    path = needing(project)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path / ".venv"], check=True)
    (site,) = (path / ".venv" / "lib").glob("python*/site-packages")
    (site / "needed.py").write_text("VERSION = 'my own'\n")
    before = sorted(path.rglob("*"))
    assert "is used as it is" in build(path).stdout
    assert sorted(path.rglob("*")) == before
    assert result_of(path) == {"version": "my own", "prefix": str(path / ".venv"), "python": OWN}
    (site / "needed.py").unlink()
    assert f"(install its package into {path}/.venv, which" in treadle("run", path).stdout


def test_what_is_built_already_is_found_where_nothing_can_be_written(project):
    path = needing(project)
    build(path)
    with (path / ".venvs" / ".lock").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "what it was made from is the same" in build(path).stdout
    (path / ".venvs" / ".lock").unlink()
    (path / ".venvs" / ".lock").mkdir()
    assert "what it was made from is the same" in build(path).stdout


def test_pip_s_configuration_for_a_user_s_packages_does_not_count(project, with_pip, tmp_path):
    path = needing(project)
    (tmp_path / "pip.conf").write_text("[global]\nuser = true\n")
    build(path, **with_pip, PIP_CONFIG_FILE=str(tmp_path / "pip.conf"))
    assert result_of(path)["version"] == "1.0"


def test_a_pyproject_without_a_lock_will_do(project):
    path = needing(project)
    (path / "requirements.txt").write_text("# see pyproject.toml\n")
    (path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["needed<2"]\n'
    )
    build(path)
    assert result_of(path)["version"] == "1.0"


@pytest.fixture
def locked(project):
    """A project with a pyproject.toml and a uv.lock."""
    if not Path(sys.executable).with_name("uv").exists():
        pytest.skip("there is no uv beside this Python")
    path = needing(project)
    (path / "requirements.txt").unlink()
    (path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.8"\ndependencies = ["needed<2"]\n'
    )
    lock(path)
    return path


def lock(path: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "lock", "--offline", "--no-index", "--find-links", "wheels", "--python", sys.executable]
    subprocess.run(command, cwd=path, check=True, capture_output=True)


def test_a_lock_decides_which_versions_are_installed(locked):
    build(locked)
    assert result_of(locked)["version"] == "1.0"
    pyproject = locked / "pyproject.toml"
    pyproject.write_text(pyproject.read_text().replace("needed<2", "needed>1"))
    lock(locked)
    build(locked)
    assert result_of(locked)["version"] == "2.0"


def test_a_lock_without_uv_is_an_error_that_names_uv(locked, with_pip):
    assert_one_clear_line_after_progress(treadle("build", locked, "--offline", **with_pip), "install uv")
    assert environments(locked) == []


def assert_one_clear_line_after_progress(ran, words):
    ran.stdout = ""
    assert_one_clear_line(ran, words)


@pytest.mark.parametrize(
    ("requirements", "words"),
    [
        ("nowhere-to-be-found\n", "add its wheel to the wheel folder"),
        ("needed==3.0\n", "needed==3.0"),
        ("needed==1.0\nneeded==2.0\n", "contradict each other"),
        ("-r nowhere.txt\n", "nowhere.txt can't be read"),
    ],
)
def test_what_can_t_be_installed_is_one_line_with_the_tool_s_own_words(project, requirements, words):
    path = needing(project)
    (path / "requirements.txt").write_text(requirements)
    assert_one_clear_line_after_progress(treadle("build", path, "--offline"), words)
    assert environments(path) == []
    assert not (path / ".venv").exists()


def test_what_is_missing_for_a_build_is_named(project):
    path = needing(project)
    (path / "wheels").rename(path / "elsewhere")
    assert_one_clear_line_after_progress(treadle("build", path, "--offline"), "--find-links")
    (path / ".python-version").write_text("3.99\n")
    assert_one_clear_line_after_progress(treadle("build", path, "--offline"), "asks for Python 3.99")
    (path / ".python-version").unlink()
    (path / ".venv").symlink_to("/nowhere")
    assert_one_clear_line_after_progress(treadle("build", path, "--offline"), "leads to nothing")
    (path / ".venv").unlink()
    (path / ".venv").write_text("the name of an environment\n")
    assert_one_clear_line_after_progress(treadle("build", path, "--offline"), "is no folder")
    assert "is not installed" in treadle("run", path).stderr


def test_a_project_that_requires_nothing_needs_no_environment(project):
    path = project("def run():\n    return 1\n")
    ran = treadle("build", path)
    assert (ran.returncode, "requires no packages" in ran.stdout) == (0, True)
    assert not (path / ".venvs").exists()


def test_wheels_are_collected_for_this_host_or_for_another_one(project, tmp_path):
    path, index = needing(project), tmp_path / "index"
    (path / "wheels").rename(index)
    (path / "requirements.txt").write_text("native\nneeded==1.0\n")
    make_wheel(index, "native", tag="cp39-cp39-manylinux2014_aarch64")
    make_wheel(index, "native", tag="cp39-cp39-manylinux_2_17_aarch64")
    make_wheel(index, "native", tag=f"cp{OWN.replace('.', '')}-none-any")
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    ran = treadle("wheels", path, **offline)
    assert ran.returncode == 0, ran.stderr
    assert {each.name.split("-")[2] for each in (path / "wheels").iterdir()} == {
        f"cp{OWN.replace('.', '')}",
        "py3",
    }
    build(path)
    ran = treadle(
        "wheels", path, "--python", "3.9", "--platform", "aarch64", "--dest", tmp_path / "other", **offline
    )
    assert ran.returncode == 0, ran.stderr
    names = sorted(each.name for each in (tmp_path / "other").iterdir())
    assert names[0].startswith("native-1.0-cp39-cp39-manylinux")
    assert names[1] == "needed-1.0-py3-none-any.whl"


def test_wheels_are_those_that_the_other_host_s_markers_ask_for(project, tmp_path):
    path, index = needing(project), tmp_path / "index"
    (path / "wheels").rename(index)
    (path / "requirements.txt").write_text(
        "old; python_version < '3.10'\nnew; python_full_version >= '3.10'\n"
        "needed==1.0; sys_platform == 'linux'\nwindows; os_name == 'nt'\n"
        "arm; platform_machine == 'aarch64'\nouter\n"
    )
    for name in ("old", "new", "windows", "arm", "inner"):
        make_wheel(index, name)
    make_wheel(index, "outer", requires=("inner; python_version == '3.9'",))
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    for platform, others in {"aarch64": {"arm", "needed"}, "win_amd64": {"windows"}}.items():
        dest = tmp_path / platform
        ran = treadle("wheels", path, "--python", "3.9", "--platform", platform, "--dest", dest, **offline)
        assert ran.returncode == 0, ran.stderr
        assert {each.name.split("-")[0] for each in dest.iterdir()} == {"old", "outer", "inner", *others}


def test_an_environment_of_conda_is_adopted_with_its_variables(project, tmp_path):
    path = project("import needed, os\ndef run():\n    return [needed.VERSION, os.environ['FROM_SCRIPT']]\n")
    (path / "environment.yml").write_text("name: mine\ndependencies: [needed]\n")
    home = {"HOME": str(tmp_path / "home")}
    ran = treadle("build", path, **home)
    assert_one_clear_line_after_progress(
        ran, f"env create --prefix {path}/.venv --file {path}/environment.yml"
    )
    prefix = tmp_path / "conda" / "envs" / "mine"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", prefix], check=True)
    (prefix / "pyvenv.cfg").rename(prefix / "bin" / "pyvenv.cfg")  # it is found there as well
    (site,) = (prefix / "lib").glob("python*/site-packages")
    (site / "needed.py").write_text("VERSION = 'of conda'\n")
    (prefix / "conda-meta").mkdir()
    (prefix / "etc" / "conda" / "activate.d").mkdir(parents=True)
    (prefix / "etc" / "conda" / "activate.d" / "needed.sh").write_text(
        "export FROM_SCRIPT=$CONDA_DEFAULT_ENV\n"
    )
    (tmp_path / "home" / ".conda").mkdir(parents=True)
    (tmp_path / "home" / ".conda" / "environments.txt").write_text(f"{prefix}\n")
    ran = treadle("build", path, **home)
    assert (ran.returncode, "is used as it is" in ran.stdout) == (0, True), ran.stderr
    assert result_of(path, **home) == ["of conda", "mine"]
    assert ask(path / ".venv" / "bin" / "python") is not None
