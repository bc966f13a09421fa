"""One engine that serves several projects."""

from __future__ import annotations

import pytest

from tests.acceptance.server import EXAMPLES


@pytest.fixture(scope="module")
def server(module_server):
    return module_server("--services", EXAMPLES)


def test_each_is_served_below_its_name(server):
    paths = {each["name"]: each["path"] for each in server.ask("GET", "/-/services").json}
    assert paths == {name: f"/services/{name}" for name in ("sum", "interim", "failing")}
    assert server.ask("GET", "/").json["services"] == paths
    for path in paths.values():
        assert server.ask("GET", path).json == server.ask("GET", f"{path}/").json


def test_a_job_of_one_is_not_found_at_another(server):
    job = server.submit({"values": [1]}, base="/services/sum")
    assert server.ended(job, "/services/sum")["status"] == "SUCCEEDED"
    assert server.ask("GET", f"/services/interim/{job}").status == 404
    assert server.ask("GET", f"/services/interim/{job}/result").status == 404
    assert server.ask("PUT", f"/services/interim/{job}/cancel").status == 404


def test_the_location_of_a_job_leads_to_it(server):
    answer = server.ask("POST", "/services/sum/", b'{"data": {"values": [1]}}')
    assert server.ask("GET", answer.headers["Location"]).json["id"] == answer.json["id"]


def test_an_unknown_service_is_reported_with_the_nearest(server):
    assert "did you mean 'sum'" in server.ask("GET", "/services/sun/").json["detail"]


def test_the_only_one_is_also_at_the_root(module_server):
    alone = module_server(EXAMPLES / "sum")
    job = alone.submit({"values": [1, 2]})
    assert alone.result(job, "/services/sum") == alone.result(job)


def test_the_engine_says_how_it_is(server):
    health = server.ask("GET", "/-/health").json
    assert (health["alive"], health["ready"], health["problems"]) == (True, True, [])
