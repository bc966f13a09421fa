"""The keys of treadle.toml that programs and runtimes add: typed, flat or in tables."""

from __future__ import annotations

import datetime
import numbers
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from treadle import PluginError, Service, ServiceError
from treadle.intake.projects import read_service
from treadle.interface.options import KnownOptions, Owner
from treadle.support.typed import Place


class Host(msgspec.Struct, frozen=True):
    """The options of the runtime `host`."""

    start: str = "fork"
    output_limit: Annotated[int, msgspec.Meta(gt=0)] = 1000


class Limits(msgspec.Struct, frozen=True):
    """The options of the runtimes `docker` and `podman`."""

    network: str = "none"
    output_limit: Annotated[int, msgspec.Meta(gt=9)] = 100


class Image(msgspec.Struct, frozen=True):
    """The options of the program `container`."""

    image: str | None = None


KNOWN = KnownOptions().extended(
    [
        Owner.of("runtime", "host", Host),
        Owner.of("runtime", "docker", Limits, ["container"]),
        Owner.of("runtime", "podman", Limits, ["container"]),
        Owner.of("program", "container", Image),
        Owner.of("runtime", "echo", {"greeting": str, "script": dict, "size": (int, float)}),
    ],
    reserved={"timeout"},
)


@pytest.fixture
def read(tmp_path):
    """Write a treadle.toml and read the service."""

    def read(toml: str) -> Service:
        (tmp_path / "treadle.toml").write_text(toml)
        return read_service(tmp_path, KNOWN, {"docker", "podman", "container"})

    return read


def test_a_key_at_the_top_level_holds_for_all_that_declare_it(read):
    service = read('runtime = "container"\noutput_limit = 50\nimage = "x"\n')
    assert service.options == {"output_limit": 50, "image": "x"}
    assert service.options_of(Limits, "docker") == Limits(output_limit=50)
    assert service.options_of(Image) == Image("x")
    assert service.options_of(Host) == Host(output_limit=50)


def test_a_key_in_a_table_holds_for_its_owner_only(read):
    service = read('runtime = "container"\n[docker]\nnetwork = "bridge"\n[container]\nimage = "x"\n')
    assert service.options_of(Limits, "docker").network == "bridge"
    assert service.options_of(Limits, "podman").network == "none"
    assert service.options_of(Image, "container") == Image("x")
    assert service.options == {"network": "bridge", "image": "x"}


def test_the_table_of_a_kind_holds_for_all_runtimes_of_the_kind(read):
    service = read('runtime = "container"\n[container]\nnetwork = "bridge"\n')
    assert service.options_of(Limits, "docker") == service.options_of(Limits, "podman") == Limits("bridge")


def test_a_table_of_a_runtime_that_is_not_used_changes_nothing(read):
    service = read('runtime = "host"\n[docker]\noutput_limit = 50\n')
    assert service.options == {}
    assert service.options_of(Host) == Host()


def test_a_mapping_of_keys_to_types_declares_keys_too(read):
    service = read('runtime = "echo"\nsize = 1\nscript = {a = 1}\n[echo]\ngreeting = "hello"\n')
    assert service.options == {"size": 1, "script": {"a": 1}, "greeting": "hello"}


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("\n[docker]\nnetwrk = 1", "line 3: unknown key 'netwrk' in [docker]; did you mean 'network'?"),
        ("[dokcer]\nnetwork = 1", "line 1: unknown key 'dokcer'; did you mean 'docker'?"),
        ("[docker]\nnetwork = 1", "line 2: network in [docker] must be a string, not 1"),
        ('runtime = "host"\noutput_limit = 0', "line 2: output_limit must be greater than 0, not 0"),
        ('runtime = "docker"\noutput_limit = 0', "line 2: output_limit must be greater than 9, not 0"),
        ("[docker]\noutput_limit = 5", "line 2: output_limit in [docker] must be greater than 9, not 5"),
        ("docker = 5", "line 1: docker must be a table, not 5"),
        ("greeting = 5", "line 1: greeting must be a string, not 5"),
        ('size = "x"', "line 1: size must be a whole number or a number, not 'x'"),
        (
            'network = "a"\n[docker]\nnetwork = "a"',
            "line 3: network in [docker] is given twice for runtime 'docker'",
        ),
        (
            '[container]\nnetwork = "a"\n[docker]\nnetwork = "a"',
            "line 4: network in [docker] is given twice for runtime 'docker'",
        ),
    ],
)
def test_a_fault_is_reported_with_file_line_key_and_what_was_expected(read, toml, words):
    with pytest.raises(ServiceError, match=re.escape(f"treadle.toml, {words}")):
        read(toml)


def test_the_bounds_of_the_runtime_in_use_hold_where_another_has_wider_ones(read):
    service = read('runtime = "docker"\noutput_limit = 5\n')
    with pytest.raises(
        ServiceError, match=r"treadle\.toml, line 2: output_limit must be greater than 9, not 5"
    ):
        service.options_of(Limits, "docker")


def test_a_service_that_a_test_makes_has_typed_options_too():
    service = Service("x", Path("/x"), options={"start": "spawn", "other": 1})
    assert service.options_of(Host) == Host("spawn")
    assert service.options_of(Host) is service.options_of(Host)
    with pytest.raises(ServiceError, match=r"^/x: start must be a string, not 1$"):
        Service("x", Path("/x"), options={"start": 1}).options_of(Host)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"timeout": int}, "runtime 'new' claims keys of treadle.toml that are Treadle's: timeout"),
        (
            {"network": int},
            "runtime 'new' claims the key 'network' of treadle.toml for a whole number; "
            "for runtime 'docker' it is a string",
        ),
    ],
)
def test_a_key_of_another_s_is_refused(declared, words):
    with pytest.raises(PluginError, match=re.escape(words)):
        KNOWN.extended([Owner.of("runtime", "new", declared)], reserved={"timeout"})


class Deep(msgspec.Struct):
    """A table in a list in a table."""

    must: int
    size: int = 1


class Nested(msgspec.Struct):
    """The options of a runtime with tables in a table."""

    parts: dict[str, list[Deep]] = {}


@pytest.mark.parametrize(
    ("types", "value", "expected"),
    [
        ((list, tuple), [1], "a list"),
        ((str, Path), "x", "a string or a path"),
        (str | Path, "x", "a string or a path"),
        (numbers.Number, 1.5, "a number"),
        (numbers.Integral, 1, "a whole number"),
        (float, 1, "a number"),
        ((bool, int), True, "true or false or a whole number"),
        (Mapping, {"a": 1}, "a table"),
        (datetime.date, datetime.date(2020, 1, 1), "a date"),
    ],
)
def test_a_type_of_a_mapping_is_one_that_the_value_is_an_instance_of(tmp_path, types, value, expected):
    known = KnownOptions((Owner.of("runtime", "old", {"k": types}),))
    place = Place(ServiceError)
    assert known.read({"k": value}, place, ["old"]).flat == {"k": value}
    with pytest.raises(ServiceError, match=f"^k must be {expected}, not <object"):
        known.read({"k": object()}, place, ["old"])


def test_a_bool_is_no_number_for_a_mapping_unless_it_is_listed():
    for types in (int, float, (int, str), numbers.Number):
        known = KnownOptions((Owner.of("runtime", "old", {"k": types}),))
        with pytest.raises(ServiceError, match=r"^k must be .*, not true$"):
            known.read({"k": True}, Place(ServiceError), ["old"])


@pytest.mark.parametrize("types", [object, Any])
@pytest.mark.parametrize("value", [1, True, "x", [1], {"a": 1}])
def test_any_value_is_an_object(types, value):
    known = KnownOptions((Owner.of("runtime", "old", {"k": types}),))
    assert known.read({"k": value}, Place(ServiceError), ["old"]).flat == {"k": value}


@pytest.mark.parametrize("types", [list[str], (str, None), (), "str", Annotated[int, "x"]])
def test_a_mapping_with_a_type_that_has_no_instances_is_refused(types):
    with pytest.raises(PluginError, match="runtime 'old' declares the key 'k' wrongly: "):
        Owner.of("runtime", "old", {"k": types})


@pytest.mark.parametrize(
    "type_",
    [set[int] | list[int], str | Path, numbers.Number, list[numbers.Number], list[set[int] | list[int]]],
)
def test_a_struct_with_a_type_that_can_t_be_read_is_refused(type_):
    struct = msgspec.defstruct("Struct", [("k", type_, None), ("fine", Path | None, None)])
    with pytest.raises(PluginError, match=r"runtime 'new' declares the key 'k' wrongly: .*[Tt]ype"):
        Owner.of("runtime", "new", struct)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ('[host]\nimage = "x"', "line 2: unknown key 'image' in [host]; `image` belongs in [container]"),
        ("[podman]\nstart = 1", "line 2: unknown key 'start' in [podman]; `start` belongs in [host]"),
        (
            '[host]\nnetwork = "x"',
            "unknown key 'network' in [host]; `network` belongs in [container], [docker] or [podman]",
        ),
        ("[host]\ntimeout = 1", "unknown key 'timeout' in [host]; `timeout` belongs at the top level"),
    ],
)
def test_a_key_in_the_table_of_another_is_reported_with_its_place(read, toml, words):
    with pytest.raises(ServiceError, match=re.escape(words)):
        read(toml)


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("parts = {a = [{must = 1}, {}]}", "parts.a[1].must is missing: it must be a whole number"),
        (
            "[nested]\nparts.a = [{must = 1, sizze = 1}]",
            "unknown key 'parts.a[0].sizze' in [nested]; did you",
        ),
    ],
)
def test_a_fault_in_a_table_of_a_table_is_named_with_its_path(tmp_path, toml, words):
    (tmp_path / "treadle.toml").write_text(f'runtime = "nested"\n{toml}\n')
    known = KnownOptions((Owner.of("runtime", "nested", Nested),))
    with pytest.raises(ServiceError, match=re.escape(words)):
        read_service(tmp_path, known)


def test_a_key_of_a_plugin_may_be_a_table_that_has_its_name_and_required_keys(tmp_path):
    known = KnownOptions((Owner.of("runtime", "deep", msgspec.defstruct("Options", [("deep", Deep)])),))
    assert known.read({"deep": {"must": 1}}, Place(ServiceError), ["deep"]).flat == {"deep": {"must": 1}}


@pytest.mark.parametrize(
    ("key", "types"), [("network", (str, list)), ("network", object), ("output_limit", (int, float))]
)
def test_a_key_of_another_may_be_declared_for_values_of_more_kinds(key, types):
    known = KNOWN.extended([Owner.of("runtime", "new", {key: types})], reserved=())
    assert known.read({key: 10 if key == "output_limit" else "x"}, Place(ServiceError), ["new"]).flat


def test_a_key_may_have_several_owners_if_its_values_are_of_one_kind():
    owners = [Owner.of("runtime", "a", {"output_limit": int}), Owner.of("runtime", "b", {"size": float})]
    assert {"output_limit", "size"} <= KNOWN.extended(owners, reserved=()).keys
