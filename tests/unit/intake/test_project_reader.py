"""What is served of the projects that there are, and what is broken."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from treadle import Service, ServiceError, Settings
from treadle.extend.loader import Plugins
from treadle.intake.catalogue import Broken, Catalogue, Served, ServiceBroken
from treadle.intake.project_folders import is_project, projects_in, stamp
from treadle.intake.project_reader import ProjectReader, divide
from treadle.intake.projects import read_service
from treadle.intake.validation_pool import ValidationPool

FAULTY = """
from treadle import Program, hookimpl

class Faulty(Program):
    name = "faulty"

    def check(self, service):
        raise RuntimeError

    async def command(self, attempt):
        raise AssertionError

@hookimpl
def register_programs(settings):
    return [Faulty()]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "faulty.py").write_text(FAULTY)
    (tmp_path / "projects").mkdir()
    return tmp_path / "projects"


@pytest.fixture
def reader(tmp_path, folder):
    def make(*named: Path, services: Path | None = folder) -> ProjectReader:
        settings = Settings(
            spool=tmp_path / "spool", projects=named, services=services, plugins_dir=tmp_path / "plugins"
        )
        return ProjectReader(settings, Plugins(settings), ValidationPool(1))

    return make


def write(path: Path, planqk: object = None, toml: str = "", spec: str = "") -> Path:
    """Write a project anew, and return its folder."""
    (path / "src").mkdir(parents=True, exist_ok=True)
    (path / "src" / "program.py").touch()
    text = planqk if isinstance(planqk, str) else json.dumps(planqk or {"name": path.name})
    (path / "planqk.json").write_text(text)
    (path / "treadle.toml").write_text(toml)
    (path / "openapi-spec.yml").write_text(spec or "{}")
    return path


def catalogue(reader: ProjectReader) -> Catalogue:
    return Catalogue(*divide(reader.read_first(), {}))


DAMAGES = {
    "a comma too many": {"planqk": '{"name": "bad",}'},
    "brackets without an end": {"planqk": '{"name": "bad", "resources": ' + "[" * 100_000},
    "a check of a plugin that fails": {"toml": 'program = "faulty"'},
    "an unknown key": {"toml": "timout = 1"},
    "a runtime that nobody has": {"toml": 'runtime = "slurmy"'},
    "an interpreter that has gone": {"toml": 'python = "/usr/bin/python2.4"'},
    "an executable that has gone": {"toml": 'program = "command"\ncommand = ["./gone"]'},
    "a container without an image": {"toml": 'program = "container"'},
    "a document that is none": {"spec": "["},
    "a schema that is none": {"spec": "components: {schemas: {inputData: {type: 7}}}"},
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_project_is_broken_by_its_name_and_the_other_is_served(reader, folder, damage):
    write(folder / "good")
    write(folder / "bad", **damage)
    found = catalogue(reader())
    assert list(found) == ["good"]
    (broken,) = found.broken
    assert (broken.name, broken.path) == ("bad", folder / "bad")
    assert "bad" in broken.reason
    assert found.why_jobs_wait("bad") == f"service 'bad' is broken: {broken.reason}"


def test_a_project_that_fails_in_a_way_that_nobody_foresaw_is_broken_alone(reader, folder, monkeypatch):
    def read(path, *arguments):
        if path.name == "bad":
            raise KeyError("unforeseen")
        return read_service(path, *arguments)

    write(folder / "good")
    write(folder / "bad")
    monkeypatch.setattr("treadle.intake.project_reader.read_service", read)
    found = catalogue(reader())
    assert list(found) == ["good"]
    assert ["unforeseen" in broken.reason for broken in found.broken] == [True]


def test_a_damaged_project_has_the_name_that_stands_in_its_files(reader, folder):
    write(folder / "one", '{"name": "My Sum", "resources": }')
    write(folder / "two", "{", 'name = "mine"')
    write(folder / "three", "{", "name = [")
    write(folder / "four", {"name": "of-planqk"}, 'timeout = never\nname = "of-toml"\n[host]\nname = "no"')
    write(folder / "five", toml='a = ,\n[host]\nname = "no"')
    write(folder / "good")
    assert {each.name for each in catalogue(reader()).broken} == {
        "My-Sum",
        "mine",
        "three",
        "of-toml",
        "five",
    }


NESTED = {"planqk": '{"a": ' * 100_000, "toml": "a = " + "[" * 100_000, "spec": "[" * 20_000}


@pytest.mark.parametrize("file", NESTED)
def test_a_file_that_is_nested_too_deeply_is_read_once(reader, folder, file, caplog):
    write(folder / "good")
    write(folder / "deep", **{file: NESTED[file]})
    (deep, good) = reader().read_first()
    assert (good.fault, deep.by_host) == (None, False)
    assert "nested too deeply" in deep.fault
    assert caplog.records == []


@pytest.mark.parametrize("name", ["planqk.json", "treadle.toml", "openapi-spec.yml"])
def test_a_pipe_in_the_place_of_a_file_is_not_read(reader, folder, name):
    write(folder / "good")
    write(folder / "pipe")
    (folder / "pipe" / name).unlink()
    os.mkfifo(folder / "pipe" / name)
    (broken,) = catalogue(reader()).broken
    assert broken.reason == f"{folder / 'pipe' / name} can't be read: it is not a regular file"


def test_what_the_plugins_fail_with_is_logged_when_it_is_new(reader, folder, monkeypatch, caplog):
    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    write(folder / "one")
    (first,) = reader().read_first()
    monkeypatch.setattr("treadle.intake.project_reader.check_service", fails)
    second = reader().checked(first)
    assert reader().checked(second) == second
    assert [each.message for each in caplog.records] == ["the plugins can't check service one"]


def test_a_folder_that_can_t_be_listed_has_the_projects_that_are_known(reader, folder, tmp_path):
    known, made = [write(folder / "a"), write(tmp_path / "named")], reader()
    folder.rename(tmp_path / "away")
    assert made.paths(known) == [folder / "a"]


def test_of_two_of_a_name_the_second_is_broken(reader, folder):
    write(folder / "a", {"name": "same"})
    write(folder / "b", {"name": "same"})
    found = catalogue(reader())
    assert found["same"].path == folder / "a"
    (broken,) = found.broken
    assert broken.path == folder / "b"
    assert "both named 'same'" in broken.reason
    assert found.why_jobs_wait("same") is None


def test_who_has_a_name_already_keeps_it(reader, folder):
    write(folder / "b", {"name": "same"})
    holders = catalogue(reader()).holders
    write(folder / "a", {"name": "same"})
    (served,), (broken,) = divide(reader().read_first(), holders)
    assert (served.service.path, broken.path) == (folder / "b", folder / "a")
    write(folder / "b", "{", 'name = "same"')
    served, broken = divide(reader().read_first(), holders)
    assert served == []
    assert {each.path for each in broken} == {folder / "a", folder / "b"}


def test_a_name_that_a_damaged_project_may_have_is_no_obstacle_to_another(reader, folder):
    write(folder / "a", '{"name": "same",}')
    write(folder / "b", {"name": "same"})
    found = catalogue(reader())
    assert found["same"].path == folder / "b"


def test_where_there_is_nothing_to_serve_that_is_an_error(reader, folder, tmp_path):
    with pytest.raises(ServiceError, match="holds no service project"):
        reader().read_first()
    with pytest.raises(ServiceError, match="no such folder"):
        reader(tmp_path / "nothing", services=None).read_first()
    with pytest.raises(ServiceError, match="is not a service project"):
        reader(write(folder / "good"), tmp_path, services=None).read_first()
    write(folder / "bad", "{")
    with pytest.raises(ServiceError, match="can't be read"):
        reader(folder / "bad", services=None).read_first()
    assert [each.fault for each in reader(folder / "bad", folder / "good", services=None).read_first()][
        1
    ] is None
    (folder / "good" / "planqk.json").write_text("{")
    assert len(reader().read_first()) == 2


def test_a_link_that_leads_nowhere_is_a_broken_project_and_a_hidden_folder_is_none(folder, tmp_path):
    (folder / "gone").symlink_to(tmp_path / "nothing")
    (folder / "notes").mkdir()
    write(folder / ".being-copied")
    write(folder / "lost+found")
    assert projects_in(folder) == [folder / "gone"]
    assert not is_project(folder / "notes")


def test_an_equal_service_is_the_same_value(reader, folder):
    write(folder / "a", spec="components: {schemas: {inputData: {type: object}}}")
    (first,) = reader().read_first()
    (folder / "a" / "planqk.json").write_text('{ "name": "a" }')
    again = reader().read(folder / "a", first)
    assert again.served is first.served
    assert again.stamp != first.stamp


def test_what_counts_of_a_project_changes_its_stamp_and_nothing_else(folder):
    path = write(folder / "a")
    first = stamp(path)
    (path / "data.bin").write_bytes(b"1")
    (path / "src" / "other.py").touch()
    assert stamp(path) == first
    (path / ".venv").mkdir()
    with_environment = stamp(path)
    assert with_environment != first
    os.utime(path / "treadle.toml")
    assert stamp(path) != with_environment


def test_the_catalogue_tells_what_is_different():
    first = Broken("x", Path("/x"), "this")
    known = Catalogue((), [first])
    assert not known.put((), [first])
    change = known.put((), [Broken("x", Path("/x"), "that")])
    assert [each.reason for each in change.broken] == ["that"]
    assert known.put((), []).removed == ("x",)


def test_no_state_between_two_is_seen_while_all_is_replaced():
    served = Served(Service("x", Path("/x")), {})
    known, seen = Catalogue([served]), []

    def now_broken() -> Iterator[Broken]:
        seen.append(known.find("x"))
        yield Broken("x", Path("/x"), "this")

    known.put((), now_broken())
    assert seen == [served]
    with pytest.raises(ServiceBroken, match="this"):
        known.find("x")
