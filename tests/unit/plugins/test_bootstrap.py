"""The start of our code in another interpreter, which may be an old one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from treadle_python.bootstrap import bootstrap


@pytest.mark.parametrize("version", ["(2, 7, 18)", "(3, 7, 16)"])
def test_an_interpreter_that_is_too_old_is_told_in_one_line(version):
    arguments = bootstrap("program")
    code = arguments[1].replace("import sys\n", f"import sys\nsys.version_info = {version}\n", 1)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert "3.8 or later" in ran.stderr
