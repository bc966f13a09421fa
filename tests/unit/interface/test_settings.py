from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from treadle import Settings, SettingsError
from treadle.interface.settings import (
    make_settings,
    read_config,
    read_environment,
)
from treadle.interface.user_folders import config_file, default_spool


class Section(msgspec.Struct, frozen=True):
    """The section of a plugin."""

    url: str | None = None
    patience: Annotated[float, msgspec.Meta(ge=0)] = 10.0


@pytest.fixture
def engine_toml(tmp_path):
    """Write an engine.toml and return its path."""

    def write(text: str) -> Path:
        (tmp_path / "engine.toml").write_text(text)
        return tmp_path / "engine.toml"

    return write


def test_the_spool_is_below_the_user_s_state_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_spool() == tmp_path / "treadle" / "spool"


def test_the_user_s_engine_toml_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() is None
    (tmp_path / "treadle").mkdir()
    (tmp_path / "treadle" / "engine.toml").write_text("port = 1\n")
    assert read_config(config_file()).values == {"port": 1}


def test_a_typo_is_reported_with_the_nearest_key(tmp_path):
    (tmp_path / "engine.toml").write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="did you mean 'port'"):
        read_config(tmp_path / "engine.toml")


@pytest.mark.parametrize(
    "change", [{"jobs": 0}, {"attempts": 0}, {"grace": -1}, {"disk_reserve": -1}, {"rescan": 0}]
)
def test_what_no_engine_can_run_with_is_refused(tmp_path, change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        Settings(spool=tmp_path, **change)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("port = 1\njobs = 2.5", "engine.toml, line 2: jobs must be a whole number, not 2.5"),
        ("jobs = 0", "engine.toml, line 1: jobs must be greater than 0, not 0"),
        ("jobs = true", "engine.toml, line 1: jobs must be a whole number, not true"),
        ("host = 5", "engine.toml, line 1: host must be a string, not 5"),
        ('\n# slow\ntidy = "x"', "engine.toml, line 3: tidy must be a number, not 'x'"),
        ("port = 70000", "engine.toml, line 1: port must be between 0 and 65535, not 70000"),
        ("spool = 5", "engine.toml, line 1: spool must be a path, not 5"),
        ('disable = "markers"', "line 1: disable must be a list of strings, not 'markers'"),
        ('prefer = ["docker", 5]', "line 1: prefer[1] must be a string, not 5"),
        ("keep_days = -1", "line 1: keep_days must be at least 0, not -1"),
        ("prot = 1", "engine.toml, line 1: unknown key 'prot'; did you mean 'port'?"),
        ("file = 1", "line 1: unknown key 'file'"),
        ("[plugins]\ndocker = 5", "line 2: plugins.docker must be a table, not 5"),
        ("jobs =", "can't be read"),
    ],
)
def test_a_fault_in_engine_toml_is_reported_with_file_line_key_and_what_was_expected(
    engine_toml, text, words
):
    with pytest.raises(SettingsError, match=re.escape(words)):
        read_config(engine_toml(text))


def test_a_path_may_begin_with_the_user_s_home(engine_toml, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = read_config(engine_toml('spool = "~/spool"\nprojects = ["~/a"]\nplugins_dir = "~"\n'))
    settings = make_settings(config, {"jobs": None, "disable": ()})
    assert (settings.spool, settings.projects) == (tmp_path / "spool", (tmp_path / "a",))
    assert settings.plugins_dir == tmp_path


def test_a_relative_path_in_engine_toml_is_below_the_folder_of_the_file(engine_toml, monkeypatch, tmp_path):
    config = engine_toml('spool = "s"\nprojects = ["a", "../b"]\nplugins_dir = "."\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = make_settings(read_config(Path("../engine.toml")), {})
    assert settings.spool.name == "s"
    assert settings.spool.parent.resolve() == settings.plugins_dir.resolve() == config.parent
    assert [each.resolve() for each in settings.projects] == [tmp_path / "a", tmp_path.parent / "b"]
    assert all(each.is_absolute() for each in (settings.spool, settings.plugins_dir, *settings.projects))


def test_a_relative_path_that_is_given_is_below_the_current_folder(engine_toml, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings(spool=Path("s")).spool == tmp_path / "s"


@pytest.mark.parametrize("key", ["services", "plugins_dir", "data_pools"])
def test_a_folder_that_must_exist_is_checked_with_file_line_and_key(engine_toml, tmp_path, key):
    (tmp_path / "file").touch()
    for value, words in (("nothing", "there is no folder {}"), ("file", "{} is not a folder")):
        config = read_config(engine_toml(f'port = 1\n{key} = "{value}"\n'))
        detail = words.format(tmp_path / value)
        with pytest.raises(SettingsError, match=f"^{tmp_path}/engine.toml, line 2: {key}: {detail}"):
            make_settings(config, {})
        assert getattr(make_settings(config, {key: tmp_path}), key) == tmp_path
        with pytest.raises(SettingsError, match=f"^{key}: {detail}"):
            Settings(**{key: tmp_path / value})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('spool = ""', "line 1: spool must be a non-empty path, not ''"),
        ('projects = ["a", ""]', "line 1: projects[1] must be a non-empty path, not ''"),
        ('services = " "', "line 1: services must be a non-empty path, not ' '"),
        (
            'spool = "~nobody-here/x"',
            "spool must be a path below the home of a known user, not '~nobody-here/x'",
        ),
        ('spool = "a\\u0000b"', "spool must be a path without NUL characters"),
    ],
)
def test_a_text_that_is_no_path_is_refused(engine_toml, text, words):
    with pytest.raises(SettingsError, match=re.escape(words)):
        read_config(engine_toml(text))


def test_a_user_without_home_has_no_engine_toml_of_their_own(monkeypatch):
    for variable in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pathlib.os.path.expanduser", lambda path: path)  # no entry in /etc/passwd either
    assert config_file() in {None, Path("/etc/treadle/engine.toml")}
    with pytest.raises(SettingsError, match="set HOME or XDG_STATE_HOME, or name a spool"):
        make_settings(None, {})
    assert make_settings(None, {"port": 1}, needs_spool=False).port == 1


def test_an_unknown_home_is_reported_with_the_variable(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "~nobody-here")
    monkeypatch.setenv("XDG_CONFIG_HOME", "~nobody-here")
    for variable, find in (("XDG_STATE_HOME", default_spool), ("XDG_CONFIG_HOME", config_file)):
        with pytest.raises(SettingsError, match=f"~nobody-here is below an unknown home: .*{variable}"):
            find()


def test_white_space_around_a_variable_s_value_does_not_count():
    assert read_environment(["port", "host"], {"TREADLE_PORT": " 5\n", "TREADLE_HOST": "  "}) == {"port": 5}


def test_a_path_of_a_plugin_s_section_is_below_the_folder_of_the_file(engine_toml, tmp_path):
    kind = msgspec.defstruct("Keys", [("key", Path)])
    settings = make_settings(read_config(engine_toml('[plugins.mine]\nkey = "k"\n')), {})
    assert settings.section("mine", kind).key == tmp_path / "k"


def test_a_section_without_keys_says_so(engine_toml):
    settings = make_settings(read_config(engine_toml("[plugins.mine]\nx = 1\n")), {})
    with pytest.raises(SettingsError, match=r"unknown key 'x' in \[plugins\.mine\]; it takes no keys$"):
        settings.section("mine", msgspec.defstruct("NoKeys", []))


def test_what_is_given_wins_over_the_file(engine_toml):
    settings = make_settings(read_config(engine_toml("jobs = 3\nport = 1\n")), {"jobs": 4})
    assert (settings.jobs, settings.port) == (4, 1)


def test_settings_come_from_the_environment_with_their_types():
    assert read_environment(["host", "port", "grace"], {"TREADLE_PORT": "5", "TREADLE_GRACE": "0.5"}) == {
        "port": 5,
        "grace": 0.5,
    }
    for value in ("x", "2.5"):
        with pytest.raises(SettingsError, match=f"^TREADLE_PORT must be a whole number, not '{value}'$"):
            read_environment(["port"], {"TREADLE_PORT": value})
    with pytest.raises(SettingsError, match=r"^TREADLE_PORT must be between 0 and 65535, not '70000'$"):
        read_environment(["port"], {"TREADLE_PORT": "70000"})


def test_a_plugin_s_section_is_read_into_its_struct(engine_toml):
    settings = make_settings(read_config(engine_toml("[plugins.mine]\npatience = 3\n")), {})
    assert settings.section("mine", Section) == Section(patience=3.0)
    assert settings.section("another", Section) == Section()
    assert settings.of_plugin("mine") == {"patience": 3}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[plugins.mine]\npatiense = 3",
            "line 2: unknown key 'patiense' in [plugins.mine]; did you mean 'pat",
        ),
        ("[plugins.mine]\nurl = 5", "line 2: url in [plugins.mine] must be a string, not 5"),
        ("plugins.mine.patience = -1", "line 1: patience in [plugins.mine] must be at least 0, not -1"),
    ],
)
def test_a_fault_in_a_plugin_s_section_is_reported_with_file_line_and_key(engine_toml, text, words):
    settings = make_settings(read_config(engine_toml(text)), {})
    with pytest.raises(SettingsError, match=re.escape(words)):
        settings.section("mine", Section)


def test_settings_that_code_makes_are_checked_too():
    with pytest.raises(SettingsError, match=r"^jobs must be a whole number, not 2\.5$"):
        Settings(jobs=2.5)
    with pytest.raises(SettingsError, match=r"^unknown key 'x' in "):
        Settings(plugins={"mine": {"x": 1}}).section("mine", Section)


@pytest.mark.parametrize(
    "host", ["https://ui.example", "ui.example/path", "a b", "", "ui.example:8443", "[::1]"]
)
def test_a_host_is_given_by_its_name_alone(host):
    with pytest.raises(SettingsError, match="hosts"):
        Settings(hosts=(host,))


@pytest.mark.parametrize("host", ["ui.example", "UI", "192.0.2.7", "::1", "2001:db8::7", "::ffff:192.0.2.7"])
def test_a_host_is_a_name_or_an_address(host):
    assert Settings(hosts=(host,)).hosts == (host,)


def test_hosts_come_from_engine_toml(engine_toml):
    config = read_config(engine_toml('hosts = ["ui.example", "engine.example"]\n'))
    assert make_settings(config, {}).hosts == ("ui.example", "engine.example")
