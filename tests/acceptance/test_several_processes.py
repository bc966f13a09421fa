"""One engine and several API processes on one spool."""

from __future__ import annotations

from tests.acceptance.server import EXAMPLES, eventually


def test_a_job_taken_by_one_process_is_run_by_the_engine_and_told_by_all(serve):
    engine = serve(EXAMPLES / "sum")
    fronts = [serve(EXAMPLES / "sum", "--api-only") for _ in range(2)]
    jobs = [front.submit({"values": [number, 1]}) for number, front in enumerate(fronts)]
    for number, job in enumerate(jobs):
        for each in (engine, *reversed(fronts)):
            assert each.result(job)["result"] == {"sum": number + 1}
    assert fronts[0].ask("GET", "/-/health").json["ready"] is True
    assert fronts[0].ask("GET", "/-/metrics").status == 404


def test_without_an_engine_jobs_are_taken_and_wait(serve):
    front = serve(EXAMPLES / "sum", "--api-only")
    job = front.submit({"values": [1]})
    health = front.ask("GET", "/-/health")
    assert health.status == 503
    assert "no engine works on this spool" in health.json["problems"][0]
    counted = {"queued": 1, "running": 0}
    eventually(lambda: front.ask("GET", "/-/health").json["jobs"] == counted, "the count of the queue")
    serve(EXAMPLES / "sum")
    assert front.result(job)["result"] == {"sum": 1}
    assert front.ask("GET", "/-/health").status == 200


def test_a_queue_that_is_full_is_full_for_all(serve):
    front = serve(EXAMPLES / "sum", "--api-only", "--queue-limit", "1")
    front.submit({"values": [1]})
    front.stop()
    front = serve(EXAMPLES / "sum", "--api-only", "--queue-limit", "1")
    assert front.ask("POST", "/", b"{}").status == 429


def test_a_cancel_reaches_the_engine_from_another_process(serve, project):
    path = project("import time\ndef run():\n    time.sleep(60)\n")
    serve(path)
    front = serve(path, "--api-only")
    job = front.submit()
    assert front.ask("PUT", f"/{job}/cancel").status == 200
    assert front.ended(job)["status"] == "CANCELLED"


def test_it_leaves_at_once_when_it_is_asked_to(serve):
    front = serve(EXAMPLES / "sum", "--api-only")
    assert front.stop() == 0
