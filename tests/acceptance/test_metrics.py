"""The engine's numbers, in the Prometheus text format."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.acceptance.server import EXAMPLES, eventually


def numbers(server) -> dict[tuple[str, ...], float]:
    answer = server.ask("GET", "/-/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain")
    families = text_string_to_metric_families(answer.body.decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_happens_is_counted(serve):
    server = serve("--services", EXAMPLES)
    server.result(server.submit({"values": [1]}, base="/services/sum"), "/services/sum")
    server.ended(server.submit(base="/services/failing"), "/services/failing")
    assert server.ask("GET", "/services/sum/nothing").status == 404
    server.drop("bad.json", b"[]")
    found = eventually(
        lambda: now if (now := numbers(server)).get(("treadle_drops_refused_total",)) == 1 else None,
        "the refusal",
    )
    assert found["treadle_jobs_ended_total", "SUCCEEDED", "sum"] == 1
    assert found["treadle_jobs_ended_total", "FAILED", "failing"] == 1
    assert found["treadle_job_duration_seconds_count", "sum"] == 1
    assert found["treadle_requests_refused_total", "NOT_FOUND"] == 1
    assert found["treadle_jobs_missed_total",] == 0
    assert found["treadle_queue_age_seconds",] == 0


def test_what_waits_and_runs_is_counted(serve, project):
    server = serve(project("import time\ndef run():\n    time.sleep(600)\n"), "--jobs", "1")
    jobs = [server.submit() for _ in range(3)]
    found = eventually(
        lambda: now if (now := numbers(server)).get(("treadle_jobs_waiting", "service")) == 2 else None, "two"
    )
    assert found["treadle_jobs_running", "service"] == 1
    assert found["treadle_queue_age_seconds",] > 0
    for job in jobs:
        server.ask("PUT", f"/{job}/cancel")
