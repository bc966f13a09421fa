"""What a project requires, and when an environment is made from something else."""

from __future__ import annotations

import pytest

from treadle import StartError
from treadle_python.building.requirements import digest_of, requirements_of


def write(project, **files):
    for name, text in files.items():
        path = project / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return project


def test_a_project_without_requirements_requires_nothing(tmp_path):
    poetry = '[tool.poetry.dependencies]\npython = "^3.9"\n'
    assert requirements_of(write(tmp_path, pyproject_toml=poetry)) is None
    (tmp_path / "pyproject.toml").unlink()
    assert requirements_of(tmp_path) is None
    assert requirements_of(write(tmp_path, requirements_txt="# nothing yet\n\n")) is None
    assert requirements_of(write(tmp_path, pyproject_toml="[tool.ruff]\nline-length = 110\n")) is None


def test_files_that_are_included_count_and_constraints_require_nothing(tmp_path):
    write(
        tmp_path,
        requirements_txt="-r more.txt\n--constraint=bounds.txt\nnumpy >= 2  # arrays\n",
        more_txt="scipy[all]==1.0; python_version > '3'\nrequests \\\n  >=2\n-r requirements.txt\n",
        bounds_txt="pandas<3\n",
    )
    found = requirements_of(tmp_path)
    assert found.names == ("requests", "numpy")
    assert {path.name for path in found.files} == {"requirements.txt", "more.txt", "bounds.txt"}


def test_names_of_files_may_be_quoted_and_have_variables_as_pip_reads_them(tmp_path, monkeypatch):
    monkeypatch.setenv("BOUNDS", "some bounds")
    write(
        tmp_path,
        requirements_txt="-r 'my more.txt'\n-c \"${BOUNDS}.txt\"\n-e './my lib[all]'\n",
        **{"my more_txt": "scipy\n", "some bounds_txt": "scipy<2\n", "my lib__pyproject_toml": "[project]\n"},
    )
    found = requirements_of(tmp_path)
    assert found.names == ("scipy",)
    assert {path.parent.name for path in found.files if path.name == "pyproject.toml"} == {"my lib"}
    assert {path.name for path in found.files} > {"requirements.txt", "my more.txt", "some bounds.txt"}


@pytest.mark.parametrize("name", ["requirements.txt", "more.txt", "bounds.txt", "lib/pyproject.toml"])
def test_each_file_that_counts_changes_the_digest(tmp_path, name):
    write(
        tmp_path,
        requirements_txt="-r more.txt\n-c bounds.txt\n-e ./lib[extra]\n",
        more_txt="numpy\n",
        bounds_txt="numpy<3\n",
        lib__pyproject_toml="[project]\n",
    )
    before = digest_of(requirements_of(tmp_path).files, "3.12")
    assert digest_of(requirements_of(tmp_path).files, "3.12") == before
    assert digest_of(requirements_of(tmp_path).files, "3.13") != before
    (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
    assert digest_of(requirements_of(tmp_path).files, "3.12") != before


def test_requirements_txt_comes_before_a_lock_and_a_lock_before_pyproject(tmp_path):
    write(tmp_path, environment_yml="name: mine\n")
    assert requirements_of(tmp_path).kind == "environment.yml"
    write(tmp_path, pyproject_toml='[project]\nname = "x"\ndependencies = ["numpy>=2", "scipy"]\n')
    assert requirements_of(tmp_path).names == ("numpy", "scipy")
    write(tmp_path, uv_lock="version = 1\n")
    assert requirements_of(tmp_path).kind == "uv.lock"
    write(tmp_path, requirements_txt="pandas\n")
    assert requirements_of(tmp_path).names == ("pandas",)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"requirements_txt": "-r nowhere.txt\n"}, "nowhere.txt can't be read"),
        ({"pyproject_toml": "[project\n"}, "pyproject.toml can't be read"),
        ({"pyproject_toml": '[project]\ndynamic = ["dependencies"]\n'}, "list them in requirements.txt"),
        ({"pyproject_toml": '[tool.poetry.dependencies]\npython = "^3.9"\nsix = "*"\n'}, "poetry export"),
        ({"pyproject_toml": '[project]\ndependencies = "numpy"\n'}, "must be a list"),
    ],
)
def test_a_file_that_can_t_be_read_is_named(tmp_path, files, words):
    with pytest.raises(StartError, match=words):
        requirements_of(write(tmp_path, **files))
