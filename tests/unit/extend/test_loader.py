from __future__ import annotations

import pytest

from treadle import Settings
from treadle.extend.loader import PluginInfo, Plugins

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
    assert "python-template" in plugins.runtimes
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
        (RUNTIME.format(name="python-template", options="{}"), "'python-template' is there already"),
        (RUNTIME.format(name="mine", options="{'timeout': int}"), "claims keys of treadle.toml"),
    ],
)
def test_a_broken_one_is_listed_with_its_reason_and_everything_else_runs(load, code, words):
    plugins, info = load(code)
    assert words in info.error
    assert "python-template" in plugins.runtimes


def test_one_may_be_disabled_by_its_name(load):
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
    assert plugins.options["image"] is str


def test_a_validator_that_fails_is_left_out(load, caplog):
    plugins, _ = load("from treadle import hookimpl\n@hookimpl\ndef validate_job(job): 1 / 0")
    assert plugins.problems(None, None) == []
    assert "plugin mine failed in validate_job" in caplog.text
