"""Which Python a project asks for, and which one of the host it gets."""

from __future__ import annotations

import sys

import pytest

from treadle import StartError
from treadle_python.building.interpreters import ask, choose
from treadle_python.building.version_request import VersionRequest, version_request


@pytest.mark.parametrize(
    ("text", "good", "bad"),
    [
        ("3.12", "3.12.0 3.12.9", "3.1.2 3.11.9 3.13.0"),
        ("3.12.1", "3.12.1", "3.12.0 3.12.10"),
        (">=3.10,<3.13", "3.10.0 3.12.9", "3.9.18 3.13.0"),
        ("==3.11.*", "3.11.0 3.11.9", "3.12.0"),
        ("~=3.11", "3.11.0 3.13.1", "3.10.9 4.0.0"),
        ("~=3.11.2", "3.11.2 3.11.9", "3.12.0 3.11.1"),
        ("!=3.12.*, >3.10", "3.11.1 3.13.0", "3.12.4 3.10.0"),
        ("<=3.11.7", "3.11.7 3.8.0", "3.11.8"),
        ("something else", "3.11.0", ""),
    ],
)
def test_bounds_are_those_of_requires_python(text, good, bad):
    def accepts(version):
        return VersionRequest(text, "").accepts(tuple(map(int, version.split("."))))

    assert [each for each in good.split() if not accepts(each)] == []
    assert [each for each in bad.split() if accepts(each)] == []


def test_treadle_toml_comes_before_python_version_and_that_before_pyproject(tmp_path):
    assert version_request(tmp_path, None) is None
    (tmp_path / "pyproject.toml").write_text('[project]\nrequires-python = ">=3.9"\n')
    assert version_request(tmp_path, None).text == ">=3.9"
    (tmp_path / ".python-version").write_text("# ours\ncpython@3.10\n")
    assert version_request(tmp_path, None).text == "3.10"
    assert version_request(tmp_path, "3.12").text == "3.12"


def test_a_python_version_that_names_an_environment_of_pyenv_does_not_count(tmp_path):
    (tmp_path / ".python-version").write_text("my-env-3.10\n")
    assert version_request(tmp_path, None) is None


def test_the_engine_s_own_python_is_taken_if_it_will_do(tmp_path):
    own = ".".join(map(str, sys.version_info[:2]))
    for request in (None, VersionRequest(own, "here"), VersionRequest(">=3.8", "here")):
        assert choose(tmp_path, request).version == sys.version_info[:3]


def test_a_python_that_the_host_does_not_have_is_an_error_that_says_what_it_has(tmp_path):
    with pytest.raises(
        StartError, match=r"asks for Python 3\.99 \(\.python-version\), and this host has .*3\."
    ) as e:
        choose(tmp_path, VersionRequest("3.99", ".python-version"))
    assert e.value.code == "PYTHON_NOT_FOUND"


def test_what_is_no_interpreter_has_no_description(tmp_path):
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    assert ask(broken) is None
    assert ask(tmp_path / "nothing") is None
