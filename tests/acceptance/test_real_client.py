"""The public client from PyPI, unchanged, against a served example."""

from __future__ import annotations

import pytest
from planqk.service.client import PlanqkServiceClient
from planqk.service.sdk import JobStatus
from planqk.service.sdk.errors.not_found_error import NotFoundError

from tests.acceptance.server import EXAMPLES, eventually

ENDPOINTS = ["{url}", "{url}/", "{url}/services/{name}", "{url}/services/{name}/"]


@pytest.fixture(params=ENDPOINTS)
def client_of(request, serve):
    clients = []

    def make(name: str) -> PlanqkServiceClient:
        server = serve(EXAMPLES / name)
        clients.append(PlanqkServiceClient(request.param.format(url=server.url, name=name), None, None))
        return clients[-1]

    yield make
    for client in clients:
        client._api._client_wrapper.httpx_client.close()


def ended(execution) -> JobStatus:
    final = {JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED}
    return eventually(
        lambda: status if (status := execution.status) in final else None, "the end of the execution"
    )


def test_a_service_says_that_it_is_up(client_of):
    assert client_of("sum").health_check().status == "Service is up and running"


def test_a_job_is_started_and_its_result_fetched(client_of):
    client = client_of("sum")
    execution = client.start_execution(data={"values": [1, 2, 39]}, params={"round_off": True})
    assert execution.result() == {"result": {"sum": 42}, "metadata": None}
    job = client.get_status(execution.id)
    assert job.status == JobStatus.SUCCEEDED
    assert job.created_at <= job.started_at <= job.ended_at


def test_interim_results_are_seen_while_the_job_runs(client_of):
    client = client_of("interim")
    execution = client.start_execution(data={"values": [1, 2, 3, 4]}, params={"delay": 0.3})
    first = eventually(lambda: execution.interim_results() or None, "a first interim result")
    assert execution.status == JobStatus.RUNNING
    assert ended(execution) == JobStatus.SUCCEEDED
    everything = execution.interim_results()
    assert everything[: len(first)] == first
    assert len(everything) > len(first)


def test_a_failure_is_reported_with_its_reason(client_of):
    execution = client_of("failing").start_execution(data={}, params={})
    assert ended(execution) == JobStatus.FAILED
    assert set(execution.result()) == {"code", "detail"}


def test_a_running_job_is_cancelled(client_of):
    client = client_of("interim")
    execution = client.start_execution(data={"values": list(range(100))}, params={"delay": 5})
    eventually(lambda: execution.status == JobStatus.RUNNING, "the start of the job")
    execution.cancel()
    assert ended(execution) == JobStatus.CANCELLED


def test_an_unknown_job_is_not_found(client_of):
    with pytest.raises(NotFoundError):
        client_of("sum").get_status("nothing")
