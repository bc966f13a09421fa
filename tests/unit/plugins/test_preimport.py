from __future__ import annotations

import os
import sys
import time

import pytest

from tests.unit.plugins.old_files import grow_old
from treadle_python.treadle_inside import preimport
from treadle_python.treadle_inside.preimport import Preimport

RUNS = "with open({!r}, 'a') as file:\n    file.write('x')\n"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a project with a package in a package, and a module that records each run."""
    folder = tmp_path / "project" / "outer_package" / "inner"
    folder.mkdir(parents=True)
    for package in (folder, folder.parent):
        (package / "__init__.py").touch()
    (folder / "program.py").write_text(RUNS.format(str(tmp_path / "runs")) + "VALUE = __name__\n")
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    grow_old(tmp_path / "project")
    return tmp_path / "project"


def look(project) -> Preimport:
    return Preimport(str(project), "outer_package.inner.program:run")


def test_empty_packages_are_imported_and_nothing_is_run(project, tmp_path):
    made = look(project)
    assert made.is_current()
    assert len(made.packages) == 2
    assert "outer_package.inner" in sys.modules
    assert "outer_package.inner.program" not in sys.modules
    assert str(project) not in sys.path
    assert not (tmp_path / "runs").exists()


def test_a_run_is_an_import_and_happens_once(project, tmp_path):
    made = look(project)
    made.run()
    made.run()
    assert (tmp_path / "runs").read_text() == "x"
    module = sys.modules["outer_package.inner.program"]
    assert module.VALUE == "outer_package.inner.program"
    assert sys.modules["outer_package.inner"].program is module


def test_a_module_that_fails_is_not_left_imported(project):
    (project / "outer_package" / "inner" / "program.py").write_text("1 / 0\n")
    grow_old(project)
    made = look(project)
    with pytest.raises(ZeroDivisionError):
        made.run()
    assert "outer_package.inner.program" not in sys.modules


def test_a_package_with_something_in_it_is_left_to_the_program(project):
    (project / "outer_package" / "inner" / "__init__.py").write_text("1 / 0\n")
    grow_old(project)
    made = look(project)
    assert list(made.packages) == [str(project / "outer_package" / "__init__.py")]
    assert made.is_current()
    made.run()
    assert "outer_package.inner" not in sys.modules


@pytest.mark.parametrize("broken", ["def run(:\n", None])
def test_what_is_wrong_with_a_module_is_left_to_the_program(project, broken):
    module = project / "outer_package" / "inner" / "program.py"
    module.unlink() if broken is None else module.write_text(broken)
    grow_old(project)
    made = look(project)
    assert made.is_current()
    made.run()
    assert "outer_package.inner.program" not in sys.modules


def test_changed_code_does_not_hold(project):
    made = look(project)
    (project / "outer_package" / "inner" / "program.py").write_text("VALUE = 2\n")
    assert not made.is_current()


def test_what_was_changed_just_now_is_looked_at_again_later(project, monkeypatch):
    os.utime(project / "outer_package" / "inner" / "program.py")
    made = look(project)
    assert made.is_current()
    made.run()
    assert "outer_package.inner.program" not in sys.modules
    later = time.monotonic() + preimport._SETTLE_TIME + 1
    monkeypatch.setattr(preimport.time, "monotonic", lambda: later)
    assert not made.is_current()


def test_a_clock_that_was_set_back_keeps_nothing_from_being_prepared(project):
    for path in (project, *project.rglob("*")):
        os.utime(path, (time.time() + 7200,) * 2)
    assert len(look(project).packages) == 2
