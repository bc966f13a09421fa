"""One engine and several API processes on one spool."""

from __future__ import annotations

from tests.acceptance.server import EXAMPLES, eventually


def test_a_job_taken_by_one_process_is_run_by_the_engine_and_reported_by_all(serve):
    engine = serve(EXAMPLES / "sum")
    gateways = [serve(EXAMPLES / "sum", "--api-only") for _ in range(2)]
    jobs = [gateway.submit({"values": [number, 1]}) for number, gateway in enumerate(gateways)]
    for number, job in enumerate(jobs):
        for each in (engine, *reversed(gateways)):
            assert each.result(job)["result"] == {"sum": number + 1}
    assert gateways[0].ask("GET", "/-/health").json["ready"] is True
    assert gateways[0].ask("GET", "/-/metrics").status == 404


def test_without_an_engine_jobs_are_taken_and_wait(serve):
    gateway = serve(EXAMPLES / "sum", "--api-only")
    job = gateway.submit({"values": [1]})
    health = gateway.ask("GET", "/-/health")
    assert health.status == 503
    assert "no engine works on this spool" in health.json["problems"][0]
    counted = {"queued": 1, "running": 0, "stuck": 0}
    eventually(lambda: gateway.ask("GET", "/-/health").json["jobs"] == counted, "the count of the queue")
    serve(EXAMPLES / "sum")
    assert gateway.result(job)["result"] == {"sum": 1}
    assert gateway.ask("GET", "/-/health").status == 200


def test_a_queue_that_is_full_is_full_for_all(serve):
    gateway = serve(EXAMPLES / "sum", "--api-only", "--queue-limit", "1")
    gateway.submit({"values": [1]})
    gateway.stop()
    gateway = serve(EXAMPLES / "sum", "--api-only", "--queue-limit", "1")
    assert gateway.ask("POST", "/", b"{}").status == 429


def test_a_cancel_reaches_the_engine_from_another_process(serve, project):
    path = project("import time\ndef run():\n    time.sleep(60)\n")
    serve(path)
    gateway = serve(path, "--api-only")
    job = gateway.submit()
    assert gateway.ask("PUT", f"/{job}/cancel").status == 200
    assert gateway.ended(job)["status"] == "CANCELLED"


def test_it_leaves_at_once_when_it_is_asked_to(serve):
    gateway = serve(EXAMPLES / "sum", "--api-only")
    assert gateway.stop() == 0
