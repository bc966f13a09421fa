from __future__ import annotations

import json

import pytest

from treadle import ServiceError
from treadle.intake.projects import read_service
from treadle.interface.options import KnownOptions, Owner

IMAGE = KnownOptions((Owner.of("program", "container", {"image": str}),))


@pytest.fixture
def project(tmp_path):
    def make(planqk: object = None, toml: str | None = None, name: str = "thing", **files: str):
        path = tmp_path / name
        (path / "src").mkdir(parents=True)
        (path / "src" / "program.py").touch()
        if planqk is not None:
            (path / "planqk.json").write_text(planqk if isinstance(planqk, str) else json.dumps(planqk))
        if toml is not None:
            (path / "treadle.toml").write_text(toml)
        for file, text in files.items():
            (path / file.replace("_", ".", 1)).write_text(text)
        return path

    return make


def test_planqk_json_alone_is_enough(project):
    path = project(
        {
            "name": "My Service!",
            "description": "d",
            "runtime": "PYTHON_TEMPLATE",
            "resources": {"cpu": 2, "memory": 4, "gpu": {"type": "NVIDIA", "count": 1}},
            "serviceId": "abc",
        }
    )
    service = read_service(path, KnownOptions())
    assert (service.name, service.program, service.description) == ("My-Service", "python-template", "d")
    assert (service.resources.cpu, service.resources.memory, service.service_id) == (2, 4, "abc")


def test_keys_that_only_the_hosted_platform_knows_are_ignored(project):
    service = read_service(project({"resources": {"cpu": 1, "disk": 2}, "more": {}}), KnownOptions())
    assert service.resources.cpu == 1


def test_a_bare_package_is_a_service_named_after_its_folder(project):
    assert read_service(project(), KnownOptions()).name == "thing"


@pytest.mark.parametrize("dockerfile", ["Dockerfile", "Containerfile"])
@pytest.mark.parametrize(
    ("sources", "toml", "program"),
    [
        (["src/index.js"], "", "container"),
        (["src/__init__.py", "main.js"], "", "container"),
        (["src/index.js"], 'name = "node"', "container"),
        (["src/program.py"], "", "python-template"),
        (["src/program/__init__.py"], "", "python-template"),
        (["src/solve.py"], 'entrypoint = "src.solve:run"', "python-template"),
    ],
)
def test_a_project_with_a_dockerfile_and_no_python_program_is_a_container(
    tmp_path, dockerfile, sources, toml, program
):
    for name in (dockerfile, *sources):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "treadle.toml").write_text(f'name = "thing"\n{toml if "name" not in toml else ""}')
    assert read_service(tmp_path, KnownOptions()).program == program


def test_treadle_toml_adds_what_planqk_json_can_t_say(project):
    path = project(
        {"name": "x"},
        'name = "y"\nparser = "p"\nentrypoint = "a.b:c"\npython = "env"\ntimeout = 1.5\nconcurrency = 2\n'
        'retry = "never"\nimage = "busybox"\n[environment]\nA = "1"\n',
    )
    service = read_service(path, IMAGE)
    assert (service.name, service.parser, service.entrypoint, service.timeout) == ("y", "p", "a.b:c", 1.5)
    assert (service.concurrency, service.retry, service.python) == (2, "never", path / "env")
    assert (service.environment, service.options) == ({"A": "1"}, {"image": "busybox"})


def test_its_own_virtual_environment_is_found(project):
    path = project()
    (path / ".venv").mkdir()
    assert read_service(path, KnownOptions()).python == path / ".venv"


@pytest.mark.parametrize("version", ["3.12", "3.12.1", ">=3.10,<3.13", "==3.11.*"])
def test_python_may_be_a_version_and_a_file_of_that_name_comes_first(project, version):
    path = project(toml=f'python = "{version}"\n')
    service = read_service(path, KnownOptions())
    assert (service.python, service.python_version) == (None, version)
    (path / version).touch()
    service = read_service(path, KnownOptions())
    assert (service.python, service.python_version) == (path / version, None)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("timout = 1", "unknown key 'timout'; did you mean 'timeout'?"),
        ("zzz = 1", "known are"),
        ("timeout = true", "line 1: timeout must be a number, not true"),
        ("timeout = 0", "timeout must be greater than 0, not 0"),
        ("concurrency = 1.5", "concurrency must be a whole number, not 1.5"),
        ('retry = "always"', "retry must be 'lost' or 'never', not 'always'"),
        ('entrypoint = "program"', "module:function"),
        ("environment = {A = 1}", "line 1: environment.A must be a string, not 1"),
        ('retry = "never"\n\n[environment]\nA = 1', "line 4: environment.A must be a string, not 1"),
        (
            'python = "~nobody-here/x"',
            "line 1: python must be a path below the home of a known user, not '~nob",
        ),
        ('python = ""', "line 1: python must be a non-empty path, not ''"),
        ('retry = "never"\npython = 3', "treadle.toml, line 2: python must be a path, not 3"),
        ("name = [", "can't be read"),
        ('name = "///"', "no usable name"),
    ],
)
def test_a_fault_in_treadle_toml_is_reported_with_the_file(project, toml, words):
    with pytest.raises(ServiceError) as caught:
        read_service(project(toml=toml), KnownOptions())
    assert words in str(caught.value)
    assert "thing" in str(caught.value)


@pytest.mark.parametrize(
    ("planqk", "words"),
    [
        ("{", "can't be read"),
        ("[]", "expected an object"),
        ({"runtime": "JAVA"}, "runtime 'JAVA' is unknown"),
        ({"resources": 1}, "resources must be an object"),
        ({"resources": {"cpu": "2"}}, "resources.cpu"),
        ({"resources": {"memory": -1}}, "resources.memory"),
        ({"resources": {"gpu": 1}}, "resources.gpu"),
    ],
)
def test_a_fault_in_planqk_json_is_reported_with_the_file(project, planqk, words):
    with pytest.raises(ServiceError) as caught:
        read_service(project(planqk), KnownOptions())
    assert words in str(caught.value)


@pytest.mark.parametrize("spec", ["[", "- 1\n- 2\n"])
def test_an_openapi_document_that_is_none_is_reported(project, spec):
    path = project()
    (path / "openapi-spec.yml").write_text(spec)
    with pytest.raises(ServiceError, match=r"openapi-spec\.yml"):
        read_service(path, KnownOptions())


def test_a_folder_with_nothing_of_a_service_is_reported(tmp_path):
    with pytest.raises(ServiceError, match="it has no planqk"):
        read_service(tmp_path, KnownOptions())
    with pytest.raises(ServiceError, match="no such folder"):
        read_service(tmp_path / "nothing", KnownOptions())
