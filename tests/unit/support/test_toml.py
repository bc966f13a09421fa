from __future__ import annotations

import pytest

from treadle import TreadleError
from treadle.support.toml import TomlFile

TEXT = '''
jobs = 1
text = """
port = 2
"""

[plugins.docker]
url = "x"          # jobs = 5
patience.short = 3

[ "plugins" . python-template ]
"contain" = "auto"
inline = {deep = 1}

[plugins.podman.more]
a = [
  1,
]
'''


@pytest.fixture
def file(tmp_path):
    (tmp_path / "x.toml").write_text(TEXT)
    return TomlFile.read(tmp_path / "x.toml", TreadleError)


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (["jobs"], 2),
        (["text"], 3),
        (["port"], None),
        (["plugins", "docker"], 7),
        (["plugins", "docker", "url"], 8),
        (["plugins", "docker", "patience"], 9),
        (["plugins", "docker", "patience", "short"], 9),
        (["plugins", "docker", "jobs"], None),
        (["plugins", "python-template", "contain"], 12),
        (["plugins", "python-template", "inline", "deep"], 13),
        (["plugins", "podman"], 15),
        (["plugins", "podman", "more", "a"], 16),
        (["url"], None),
    ],
)
def test_the_line_of_a_key_is_found_in_its_table(file, keys, line):
    assert file.line(*keys) == line
    assert file.where(*keys) == (f"{file.path}, line {line}" if line else str(file.path))


@pytest.mark.parametrize("text", ["a = ", "a = 1\na = 2"])
def test_a_file_that_is_not_toml_is_refused_with_its_path(tmp_path, text):
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(TreadleError, match=r"x\.toml can't be read: .* \(at "):
        TomlFile.read(tmp_path / "x.toml", TreadleError)
    with pytest.raises(TreadleError, match="can't be read"):
        TomlFile.read(tmp_path / "nothing.toml", TreadleError)
