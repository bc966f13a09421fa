from __future__ import annotations

import pytest

from treadle import ServiceError, Settings, SettingsError
from treadle.extend.loader import Plugins
from treadle.extend.selection import check_service, image_runtimes
from treadle.extend.sources import PluginInfo
from treadle.intake.projects import read_service
from treadle.interface.settings import make_settings, read_config

RUNTIME = """
from treadle import Exit, Reason, Runtime, hookimpl
class Mine(Runtime):
    name = "{name}"
    options = {options}
    async def start(self, attempt): ...
    async def wait(self, attempt): return Exit(Reason.ENDED, code=0)
    async def stop(self, attempt, grace): ...
@hookimpl
def register_runtimes(settings):
    return [Mine()]
"""


@pytest.fixture
def load(tmp_path):
    def load(code: str, name: str = "mine", **settings: object) -> tuple[Plugins, PluginInfo]:
        (tmp_path / f"{name}.py").write_text(code)
        plugins = Plugins(Settings(spool=tmp_path / "spool", plugins_dir=tmp_path, **settings))
        return plugins, next(each for each in plugins.listing if each.name == name)

    return load


def test_the_built_in_plugins_come_through_the_same_door(tmp_path):
    plugins = Plugins(Settings(spool=tmp_path))
    assert {"python-template", "markers"} <= {each.name for each in plugins.listing}
    assert all(each.origin == "treadle" and each.version for each in plugins.listing)
    assert "host" in plugins.runtimes
    assert {"python-template", "command", "container"} <= plugins.programs.keys()
    assert "planqk" in plugins.parsers


def test_a_single_file_is_a_plugin(load):
    plugins, info = load(RUNTIME.format(name="mine", options="{}"))
    assert info.provides == ("runtime mine",)
    assert "mine" in plugins.runtimes


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
        ("x = 1", "implements no hook"),
        ("from treadle import hookimpl\n@hookimpl\ndef no_such_hook(): ...", "no hook named 'no_such_hook'"),
        ("from treadle import hookimpl\n@hookimpl\ndef job_changed(jbo): ...", "jbo"),
        ("from treadle import hookimpl\n@hookimpl(wrapper=True)\ndef job_changed():\n    yield", "wrappers"),
        ("from treadle import hookimpl\n@hookimpl\ndef register_runtimes():\n    1 / 0", "ZeroDivisionError"),
        (RUNTIME.format(name="host", options="{}"), "'host' is there already"),
        (RUNTIME.format(name="mine", options="{'timeout': int}"), "claims keys of treadle.toml"),
        (RUNTIME.format(name="mine", options="{'preload': str}"), "claims the key 'preload' of treadle.toml"),
    ],
)
def test_a_broken_one_is_listed_with_its_reason_and_everything_else_runs(load, code, words):
    plugins, info = load(code)
    assert words in info.error
    assert "host" in plugins.runtimes


def test_a_plugin_may_be_disabled_by_its_name(load):
    plugins, info = load(RUNTIME.format(name="mine", options="{}"), disable=("mine", "markers"))
    assert info.disabled
    assert "mine" not in plugins.runtimes
    assert "planqk" not in plugins.parsers


def test_a_second_plugin_of_a_name_is_refused(load):
    plugins, _ = load("from treadle import hookimpl\n@hookimpl\ndef engine_stopping(): ...", name="markers")
    broken = plugins.listing[-1]
    assert "loaded already, from treadle" in broken.error


def test_the_options_of_runtimes_are_keys_of_treadle_toml(load):
    plugins, _ = load(RUNTIME.format(name="mine", options="{'image': str}"))
    assert "image" in plugins.options.keys
    assert "mine" in plugins.options.tables


def test_a_validator_that_fails_is_left_out(load, caplog):
    plugins, _ = load("from treadle import hookimpl\n@hookimpl\ndef validate_job(job): 1 / 0")
    assert plugins.problems(None, None) == []
    assert "plugin mine failed in validate_job" in caplog.text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"disable": ("marker",)}, "disable: there is no plugin named 'marker'; did you mean 'markers'?"),
        ({"prefer": ("pod",)}, "prefer: there is no runtime named 'pod'; did you mean 'podman'?"),
        ({"plugins": {"dokcer": {}}}, "[plugins.dokcer]: there is no plugin named 'dokcer'; did you mean"),
    ],
)
def test_a_plugin_or_a_runtime_that_is_not_there_is_an_error(tmp_path, settings, words):
    with pytest.raises(SettingsError) as caught:
        Plugins(Settings(spool=tmp_path, **settings))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('jobs = 1\ndisable = ["marker"]', "engine.toml, line 2: disable: there is no plugin named 'marker'"),
        ("jobs = 1\n\n[plugins.dokcer]", "engine.toml, line 3: [plugins.dokcer]: there is no plugin named"),
        ("[plugins.docker]\nulr = 1", "line 2: unknown key 'ulr' in [plugins.docker]; did you mean 'url'?"),
        ('[plugins.python-template]\ncontain = "x"', "must be 'auto', 'namespace' or 'subreaper', not 'x'"),
        ("[plugins.podman]\npatience = -1", "patience in [plugins.podman] must be at least 0, not -1"),
        ("[plugins.markers]\nx = 1", "unknown key 'x' in [plugins.markers]; it takes no keys"),
    ],
)
def test_a_fault_in_engine_toml_is_the_operator_s_and_stops_the_start(tmp_path, text, words):
    (tmp_path / "engine.toml").write_text(text)
    settings = make_settings(read_config(tmp_path / "engine.toml"), {})
    with pytest.raises(SettingsError) as caught:
        Plugins(settings)
    assert words in str(caught.value)


def test_the_old_name_of_the_runtime_host_is_accepted(tmp_path):
    plugins = Plugins(Settings(spool=tmp_path, prefer=("python-template", "podman")))
    assert plugins.prefer == ("host", "podman")
    assert Plugins(Settings(spool=tmp_path, prefer=("host",), disable=("python-template",))).prefer


def test_a_kind_of_runtimes_can_t_be_preferred(tmp_path):
    (tmp_path / "engine.toml").write_text('\nprefer = ["container"]')
    settings = make_settings(read_config(tmp_path / "engine.toml"), {})
    with pytest.raises(
        SettingsError, match=r"line 2: prefer: 'container' is a kind.*: name docker or podman"
    ):
        Plugins(settings)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ("{'k': (list, tuple), 'p': (str, Path), 'o': object, 'n': numbers.Number}", None),
        ("{'k': list[str]}", "PluginError: runtime 'mine' declares the key 'k' wrongly"),
        (
            "msgspec.defstruct('S', [('k', set[int] | list[int], None)])",
            "PluginError: runtime 'mine' declares",
        ),
    ],
)
def test_the_types_of_options_are_tried_when_the_plugin_is_loaded(load, keys, error):
    imports = "import msgspec, numbers\nfrom pathlib import Path\n"
    plugins, info = load(imports + RUNTIME.format(name="mine", options=keys))
    assert info.error is None if error is None else error in info.error
    assert ("mine" in plugins.runtimes) is (error is None)


def test_a_project_with_an_image_on_the_host_is_told_of_programs_without_one(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    (project / "Dockerfile").touch()
    (project / "treadle.toml").write_text('runtime = "host"\ncommand = ["./solve"]\n')
    plugins = Plugins(Settings(spool=tmp_path))
    service = read_service(project, plugins.options, image_runtimes(plugins))
    with pytest.raises(ServiceError, match=r'`runtime` .* docker.* `program = "command"`'):
        check_service(plugins, service)


def test_a_disabled_or_broken_plugin_keeps_its_section_and_its_name(load):
    settings = {"plugins": {"docker": {"nonsense": 1}, "mine": {"x": 1}}, "prefer": ("docker", "mine")}
    plugins, info = load("1 / 0", disable=("docker",), **settings)
    assert info.error
    assert "docker" not in plugins.runtimes


def test_a_plugin_that_does_not_type_its_section_gets_it_unchecked(load):
    code = (
        "from treadle import hookimpl\n@hookimpl\ndef register_parsers(settings):\n"
        "    assert settings.of_plugin('mine') == {'x': 1}\n    return []\n"
    )
    _, info = load(code, plugins={"mine": {"x": 1}})
    assert info.error is None
