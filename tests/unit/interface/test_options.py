"""The keys of treadle.toml that programs and runtimes add: typed, flat or in tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from treadle import PluginError, Service, ServiceError
from treadle.intake.projects import read_service
from treadle.interface.options import KnownOptions, Owner


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


def test_a_key_may_have_several_owners_if_its_values_are_of_one_kind():
    owners = [Owner.of("runtime", "a", {"output_limit": int}), Owner.of("runtime", "b", {"size": float})]
    assert {"output_limit", "size"} <= KNOWN.extended(owners, reserved=()).keys
