"""Large input and output: what is asked about them stays cheap, and costs nobody else anything."""

from __future__ import annotations

import json
import threading
import time
import urllib.request

import pytest

from tests.acceptance.attacks import MIB, memory, probed

QUICK = "def run():\n    return 1\n"
WAITS = "import time\ndef run(data):\n    time.sleep(600)\n"
VALUE = json.dumps({"x": "y" * 1000}).encode()


@pytest.fixture
def with_interim(serve, project):
    """Serve a job that has a list of interim results of 150 MB."""
    server = serve(project(QUICK))
    job = server.submit()
    server.ended(job)
    with (server.spool / "done" / job / "interim.jsonl").open("wb") as file:
        for _ in range(150):
            file.write((VALUE + b"\n") * (MIB // len(VALUE)))
        file.write(b'{"incompl')
    return server, job


def test_a_large_list_of_interim_results_is_never_in_memory_as_a_whole(with_interim):
    server, job = with_interim
    sizes: list[int] = []

    def read() -> None:
        with urllib.request.urlopen(f"{server.url}/{job}/interim-results", timeout=120) as answer:
            size = 0
            while piece := answer.read(MIB):
                size += len(piece)
            sizes.append(size)

    before = memory(server)
    threads = [threading.Thread(target=read) for _ in range(20)]
    with probed(server) as probes:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    written = 150 * (MIB // len(VALUE)) * (len(VALUE) + 1)
    assert sizes == [written + 1] * 20
    assert probes.peak - before < 128 * MIB
    assert probes.slowest(0.9) < 1.0


def test_the_newest_of_many_interim_results_costs_one(with_interim):
    server, job = with_interim
    before = memory(server)
    assert server.ask("GET", f"/{job}/interim-results?last=true").body == VALUE
    assert memory(server) - before < 16 * MIB


def test_a_large_list_is_valid_json(with_interim):
    server, job = with_interim
    values = server.ask("GET", f"/{job}/interim-results").json
    assert len(values) == 150 * (MIB // len(VALUE))
    assert values[0] == values[-1] == json.loads(VALUE)


def test_polling_a_job_with_large_input_costs_no_more_than_a_small_one(serve, project):
    server = serve(project(WAITS, "concurrency = 1\n"))
    running = server.submit({"text": "a" * (50 * MIB)})
    waiting = server.submit({"text": "a" * (50 * MIB)})
    with probed(server) as probes:
        begun = time.monotonic()
        for _ in range(100):
            assert server.ask("GET", f"/{running}").json["status"] in {"PENDING", "RUNNING"}
            assert server.ask("GET", f"/{waiting}").json["status"] == "PENDING"
        assert time.monotonic() - begun < 10
    assert probes.slowest(0.9) < 0.5
    for job in (waiting, running):
        assert server.ask("PUT", f"/{job}/cancel").status == 200


def test_large_labels_are_refused(serve, project):
    server = serve(project(QUICK))
    answer = server.ask("POST", "/", json.dumps({"labels": {"a": "x" * 40_000}}).encode())
    assert (answer.status, answer.json["path"]) == (400, "$.labels")


@pytest.mark.parametrize(
    "path", ["/" * 8000, "/services" + "/" * 7000 + "x", "/x" * 4000, "/a?" + "wait=1" * 1000]
)
def test_an_address_of_8_kb_costs_no_more_than_another(serve, project, path):
    server = serve(project(QUICK))
    begun = time.monotonic()
    server.ask("GET", path)
    server.ask("GET", "/", Prefer="wait=1" + " " * 7000 + "x")
    assert time.monotonic() - begun < 2
