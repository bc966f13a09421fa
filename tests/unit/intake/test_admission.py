from __future__ import annotations

from pathlib import Path

import pytest

from treadle import Descriptor, Service, ServiceError, Settings
from treadle.extend.loader import Plugins
from treadle.intake.admission import Admission, DiskFull, QueueFull
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
def admit(spool, tmp_path):
    def make(
        schemas: object = SCHEMAS, version: str = "3.0.2", queued: int = 0, **settings: object
    ) -> Admission:
        service = Service(
            "sum", Path("sum"), openapi={"openapi": version, "components": {"schemas": schemas}}
        )
        chosen = Settings(spool=tmp_path, **{"disk_reserve": 0, **settings})
        return Admission(spool, {"sum": service}, Plugins(chosen), chosen, lambda: queued)

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
