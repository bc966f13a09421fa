from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from treadle import Descriptor, Service, ServiceError, Settings
from treadle.api.openapi import describe
from treadle.extend.loader import Plugins
from treadle.intake.admission import Admission, DiskFull, QueueFull
from treadle.intake.catalogue import Catalogue, Served
from treadle.intake.payload_checks import payload_checks
from treadle.intake.validation_pool import ValidationPool
from treadle.testing import eventually
from treadle_spool import InvalidDescriptor

SCHEMAS = {
    "inputData": {
        "type": "object",
        "required": ["values"],
        "additionalProperties": False,
        "properties": {
            "values": {"type": "array", "items": {"type": "number"}, "maxItems": 3},
            "note": {"type": "string", "nullable": True},
            "kind": {"$ref": "#/components/schemas/Kind"},
        },
    },
    "Kind": {"enum": ["a", "b"]},
}


@pytest.fixture
def admit_to(spool, tmp_path):
    made: list[Admission] = []

    def make(service: Service, queued: int = 0, **settings: object) -> Admission:
        chosen = Settings(spool=tmp_path, **{"disk_reserve": 0, **settings})
        pool = ValidationPool(chosen.validation_seconds)
        catalogue = Catalogue([Served(service, payload_checks(service, pool))])
        plugins = Plugins(chosen)
        made.append(Admission(spool, catalogue, pool, plugins, chosen, count_owed=lambda: queued))
        return made[-1]

    yield make
    for admission in made:
        admission.close()


@pytest.fixture
def admit(admit_to):

    def make(
        schemas: object = SCHEMAS, version: str = "3.0.2", queued: int = 0, **settings: object
    ) -> Admission:
        service = Service(
            "sum", Path("sum"), openapi={"openapi": version, "components": {"schemas": schemas}}
        )
        return admit_to(service, queued, **settings)

    return make


def job(data: str, service: str = "sum") -> Descriptor:
    return Descriptor.from_json(f'{{"service": "{service}", "data": {data}}}'.encode())


@pytest.mark.parametrize("version", ["3.0.2", "3.1.0"])
def test_input_that_fits_the_service_s_schema_comes_in(admit, version):
    admit(version=version).check(job('{"values": [1, 2.5], "kind": "a"}'))


@pytest.mark.parametrize(
    ("data", "path"),
    [
        ("{}", "$.data"),
        ('{"values": [1, "x"]}', "$.data.values[1]"),
        ('{"values": [1, 2, 3, 4]}', "$.data.values"),
        ('{"values": [], "other": 1}', "$.data"),
        ('{"values": [], "kind": "c"}', "$.data.kind"),
    ],
)
def test_input_that_does_not_is_refused_with_its_place(admit, data, path):
    with pytest.raises(InvalidDescriptor) as caught:
        admit().check(job(data))
    assert caught.value.path == path


def test_nullable_means_null_in_openapi_3_0(admit):
    admit().check(job('{"values": [], "note": null}'))
    with pytest.raises(InvalidDescriptor):
        admit(version="3.1.0").check(job('{"values": [], "note": null}'))


@pytest.mark.parametrize(
    ("version", "schema", "valid"),
    [
        ("3.0.2", {"type": "object", "nullable": True}, True),
        ("3.0.2", {"$ref": "#/components/schemas/Kind", "nullable": True}, True),
        ("3.0.2", {"enum": ["a"], "nullable": True}, True),
        ("3.0.2", {"type": ["string", "number"], "nullable": True}, True),
        ("3.0.2", {"$ref": "#/components/schemas/Kind"}, False),
        ("3.0.2", {"type": "string", "const": "a"}, False),
        ("3.1.0", {"$ref": "#/components/schemas/Kind", "nullable": True}, False),
        ("3.1.0", {"type": ["string", "null"]}, True),
    ],
)
def test_null_is_accepted_where_the_shown_schema_accepts_it(admit, version, schema, valid):
    schemas = {"inputData": {"properties": {"note": schema}}, "Kind": {"enum": ["a"]}}
    service = Service("sum", Path(), openapi={"openapi": version, "components": {"schemas": schemas}})
    document = describe(service, "")
    registry = Registry().with_resource("urn:d", DRAFT202012.create_resource(document))
    shown = {"$ref": "urn:d#/components/schemas/inputData"}
    assert Draft202012Validator(shown, registry=registry).is_valid({"note": None}) is valid
    with nullcontext() if valid else pytest.raises(InvalidDescriptor):
        admit(schemas, version).check(job('{"note": null}'))


def test_a_fault_below_a_nullable_reference_keeps_its_place(admit):
    point = {"type": "object", "required": ["x"], "properties": {"x": {"type": "number"}}}
    data = {"properties": {"point": {"$ref": "#/components/schemas/Point", "nullable": True}}}
    admission = admit({"inputData": data, "Point": point})
    for value, path in (('{"x": "far"}', "$.data.point.x"), ("{}", "$.data.point"), ("1", "$.data.point")):
        with pytest.raises(InvalidDescriptor) as caught:
            admission.check(job(f'{{"point": {value}}}'))
        assert caught.value.path == path


def test_keywords_that_openapi_3_0_does_not_know_have_no_effect_there(admit):
    data = {"properties": {"kind": {"const": "a"}}}
    admit({"inputData": data}).check(job('{"kind": "b"}'))
    with pytest.raises(InvalidDescriptor):
        admit({"inputData": data}, "3.1.0").check(job('{"kind": "b"}'))


def test_a_reference_to_another_part_of_the_document_is_followed(admit_to):
    parameter = {"schema": {"type": "integer", "nullable": True}}
    data = {"properties": {"limit": {"$ref": "#/components/parameters/limit/schema"}}}
    components = {"parameters": {"limit": parameter}, "schemas": {"inputData": data}}
    admission = admit_to(Service("sum", Path(), openapi={"components": components}))
    admission.check(job('{"limit": null}'))
    with pytest.raises(InvalidDescriptor) as caught:
        admission.check(job('{"limit": "x"}'))
    assert caught.value.path == "$.data.limit"


@pytest.mark.parametrize("schemas", [None, {}, {"inputData": None}, {"inputData": {}}])
def test_a_service_without_schemas_accepts_any_object(admit, schemas):
    admission = admit(schemas)
    assert admission.is_quick(job("{}"))
    admission.check(job('{"x": 1}'))


@pytest.mark.parametrize("version", ["3.0.2", "3.1.0"])
def test_a_schema_that_contains_itself_is_reported_before_the_service_is_served(admit, version):
    endless: dict[str, object] = {}
    endless["properties"] = {"x": endless}
    with pytest.raises(ServiceError, match="too deeply"):
        admit({"inputData": endless}, version)


@pytest.mark.parametrize("version", ["3.0.2", "3.1.0"])
def test_a_number_without_a_fraction_is_an_integer(admit, version):
    admission = admit({"inputData": {"properties": {"count": {"type": "integer"}}}}, version)
    admission.check(job('{"count": 1.0}'))
    with pytest.raises(InvalidDescriptor):
        admission.check(job('{"count": 1.5}'))


def test_integers_of_any_size_are_numbers(admit):
    admit().check(job(f'{{"values": [{"7" * 9000}]}}'))


def test_deep_input_is_refused_and_not_an_error(admit):
    recursive = {"inputData": {"additionalProperties": {"$ref": "#/components/schemas/inputData"}}}
    with pytest.raises(InvalidDescriptor, match="nested"):
        admit(recursive).check(job('{"x":' * 800 + "{}" + "}" * 800))


def test_a_schema_that_is_none_is_reported_before_the_service_is_served(admit):
    with pytest.raises(ServiceError, match="inputData"):
        admit({"inputData": {"type": "objekt"}})


def test_a_reference_to_nothing_is_reported(admit):
    with pytest.raises(InvalidDescriptor, match="doesn't have"):
        admit({"inputData": {"$ref": "#/components/schemas/Nothing"}}).check(job("{}"))


def test_an_unknown_service_is_reported_with_the_nearest(admit):
    with pytest.raises(InvalidDescriptor, match="did you mean 'sum'") as caught:
        admit().check(job("{}", "sun"))
    assert caught.value.path == "$.service"


def test_a_full_queue_and_a_full_disk(admit):
    with pytest.raises(QueueFull, match="the limit is 5"):
        admit(queued=5, queue_limit=5).check_room()
    with pytest.raises(DiskFull, match="kept back"):
        admit(disk_reserve=2**62).check_room()
    admit(queued=4, queue_limit=5).check_room()


@pytest.mark.parametrize("wrong", [{"type": "objekt"}, {"pattern": "("}, {"items": {"minimum": "one"}}])
def test_a_schema_that_is_only_referred_to_is_reported_before_the_service_is_served(admit, wrong):
    point = {"properties": {"x": {"allOf": [{"$ref": "#/components/schemas/Far"}]}}}
    data = {"properties": {"points": {"items": {"$ref": "#/components/schemas/Point"}}}}
    with pytest.raises(ServiceError, match=r"components\.schemas\.Far .*not a valid schema"):
        admit({"inputData": data, "Point": point, "Far": wrong}, "3.1.0")


def test_a_schema_that_no_input_is_checked_against_may_be_anything(admit):
    admit({**SCHEMAS, "Other": {"type": "objekt"}}).check(job('{"values": []}'))


HOSTILE = {
    "regex": ({"properties": {"x": {"pattern": "^(a+)+$"}}}, '{"x": "' + "a" * 49 + '!"}'),
    "names": ({"patternProperties": {"^(a+)+$": {}}}, '{"' + "a" * 49 + '!": 1}'),
    "choices": (
        {
            "properties": {"x": {"$ref": "#/components/schemas/inputData"}},
            "anyOf": [
                {"required": ["y"], "properties": {"x": {"$ref": "#/components/schemas/inputData"}}},
                {"required": ["z"], "properties": {"x": {"$ref": "#/components/schemas/inputData"}}},
            ],
        },
        '{"x": ' * 25 + "{}" + "}" * 25,
    ),
}
"""Schemas and input for them that take seconds to hours."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_input_that_takes_too_long_to_check_is_refused_with_the_reason(admit, kind):
    schema, data = HOSTILE[kind]
    begun = time.monotonic()
    with pytest.raises(InvalidDescriptor, match=r"takes too long.*`validation_seconds`") as caught:
        admit({"inputData": schema}, "3.1.0", validation_seconds=0.3).check(job(data))
    assert caught.value.path == "$.data"
    assert time.monotonic() - begun < 15


def test_a_list_that_must_have_no_equal_items_is_checked_at_once(admit):
    admission = admit({"inputData": {"properties": {"x": {"uniqueItems": True}}}}, validation_seconds=0.5)
    items = [f'{{"a": [{number}]}}' for number in range(20_000)]
    admission.check(job(f'{{"x": [{", ".join(items)}]}}'))
    with pytest.raises(InvalidDescriptor, match="non-unique"):
        admission.check(job(f'{{"x": [{", ".join((*items, items[7]))}]}}'))


def test_a_megabyte_of_numbers_takes_a_fraction_of_its_time(admit):
    schema = {"properties": {"x": {"items": {"type": "number", "minimum": 0}}}}
    admit({"inputData": schema}, validation_seconds=0.5).check(job(f'{{"x": [{"1," * 500_000}2]}}'))


def test_input_that_takes_too_much_memory_to_check_is_refused_with_the_reason(admit):
    admission = admit({"inputData": {"properties": {"x": {"type": "array"}}}}, validation_seconds=30)
    with pytest.raises(InvalidDescriptor, match="memory"):
        admission.check(job(f'{{"x": [{"[]," * 6_000_000}0]}}'))
    admission.check(job('{"x": []}' + " " * 5000))


def test_the_processes_that_validate_go_on_after_one_was_ended(admit):
    admission = admit({"inputData": HOSTILE["regex"][0]}, "3.1.0", validation_seconds=0.2)
    for _ in range(2):
        with pytest.raises(InvalidDescriptor, match="takes too long"):
            admission.check(job(HOSTILE["regex"][1]))
        admission.check(job('{"x": "aaa"}'))
        with pytest.raises(InvalidDescriptor, match="does not match") as caught:
            admission.check(job('{"x": "b"}'))
        assert caught.value.path == "$.data.x"


def test_a_process_that_was_killed_is_replaced(admit):
    admission = admit({"inputData": HOSTILE["regex"][0]}, "3.1.0")
    admission.check(job('{"x": "aaa"}'))
    (process,) = psutil.Process().children()
    process.kill()
    eventually(lambda: process.status() == psutil.STATUS_ZOMBIE, "its end")
    admission.check(job('{"x": "aaa"}'))


def test_no_process_is_left_behind(admit):
    admission = admit({"inputData": HOSTILE["regex"][0]}, "3.1.0")
    admission.check(job('{"x": "aaa"}'))
    admission.close()
    assert psutil.Process().children() == []


def test_a_small_input_of_a_simple_schema_needs_no_process(admit):
    admit().check(job('{"values": [1, 2]}'))
    assert psutil.Process().children() == []
