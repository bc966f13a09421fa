from __future__ import annotations

import pytest

from treadle import Settings, SettingsError
from treadle.interface.settings import config_file, default_spool, read_config


def test_the_spool_is_below_the_user_s_state_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_spool() == tmp_path / "treadle" / "spool"


def test_the_user_s_engine_toml_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_file() is None
    (tmp_path / "treadle").mkdir()
    (tmp_path / "treadle" / "engine.toml").write_text("port = 1\n")
    assert read_config(config_file()) == {"port": 1}


def test_a_typo_is_told_with_the_nearest_key(tmp_path):
    (tmp_path / "engine.toml").write_text("prot = 1\n")
    with pytest.raises(SettingsError, match="did you mean 'port'"):
        read_config(tmp_path / "engine.toml")


@pytest.mark.parametrize(
    "change", [{"jobs": 0}, {"attempts": 0}, {"grace": -1}, {"disk_reserve": -1}, {"rescan": 0}]
)
def test_what_no_engine_can_run_with_is_refused(tmp_path, change):
    with pytest.raises(SettingsError, match=next(iter(change))):
        Settings(spool=tmp_path, **change)
