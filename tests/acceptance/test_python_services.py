"""Python services as they are on disk, run without a change in them."""

from __future__ import annotations

import json
import subprocess
import sys

PROGRAM = """
import json
import math
import sys
from typing import Any, Dict, Union

from loguru import logger

from .libs.return_objects import ErrorResponse, ResultResponse
from .libs.utilities import add


def run(data: Dict[str, Any] = None, params: Dict[str, Any] = None) -> Union[ResultResponse, ErrorResponse]:
    try:
        total = add(data["values"])
        logger.debug("calculated {}", total)
        return ResultResponse(result={"sum": math.floor(total) if params.get("round_off") else total})
    except Exception as error:
        return ErrorResponse(code="500", detail=f"{type(error).__name__}: {error}")
"""

RETURN_OBJECTS = """
import json


class Response:
    def to_json(self):
        return json.dumps(self, default=lambda each: getattr(each, "__dict__", str(each)), sort_keys=False)


class ErrorResponse(Response):
    def __init__(self, code: str, detail: str):
        self.code = code
        self.detail = detail


class ResultResponse(Response):
    def __init__(self, result: dict, metadata: dict = None):
        self.result = result
        self.metadata = metadata
"""


def make_starter(project, name="starter"):
    path = project(PROGRAM, name=name)
    libs = path / "src" / "libs"
    libs.mkdir()
    (libs / "__init__.py").touch()
    (libs / "return_objects.py").write_text(RETURN_OBJECTS)
    (libs / "utilities.py").write_text("def add(numbers):\n    return sum(numbers)\n")
    (path / "requirements.txt").write_text("loguru\n")
    return path


def test_the_public_starter_template_runs_unchanged(serve, project):
    server = serve(make_starter(project))
    job = server.submit({"values": [1, 5.2, 20, 7, 9.4]}, {"round_off": True})
    assert server.result(job) == {"result": {"sum": 42}, "metadata": None}
    assert server.ask("GET", f"/{job}").json["status"] == "SUCCEEDED"


def test_its_error_response_is_the_failure(serve, project):
    server = serve(make_starter(project))
    job = server.submit({})
    assert server.ended(job)["status"] == "FAILED"
    assert server.result(job) == {"code": "500", "detail": "KeyError: 'values'"}


def test_a_project_runs_in_its_own_virtual_environment(serve, project):
    path = project(
        "import only_here, sys\ndef run():\n    return {'answer': only_here.ANSWER, 'prefix': sys.prefix}\n"
    )
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path / ".venv"], check=True)
    (site,) = (path / ".venv" / "lib").glob("python*/site-packages")
    (site / "only_here.py").write_text("ANSWER = 42\n")
    server = serve(path)
    assert server.result(server.submit()) == {"answer": 42, "prefix": str(path / ".venv")}


def test_every_execution_is_a_new_process(serve, project):
    server = serve(
        project("import os\nSEEN = []\ndef run():\n    SEEN.append(1)\n    return {'seen': SEEN}\n")
    )
    jobs = [server.submit() for _ in range(3)]
    assert [server.result(job) for job in jobs] == [{"seen": [1]}] * 3


def test_big_integers_key_order_and_unicode_reach_the_program_as_they_were_sent(serve, project):
    server = serve(project("def run(data, params):\n    return {'data': data, 'params': params}\n"))
    data = '{"z": %s, "a": 18446744073709551617, "ü": "\\u20ac€", "m": 1.10}'
    body = '{"data": ' + data + ', "params": {"b": 1, "a": 2}}'
    body %= "7" * 5000
    answer = server.ask("POST", "/", body.encode())
    assert answer.status == 201
    job = answer.json["id"]
    server.ended(job)
    sent = json.loads(body, parse_int=str)
    assert json.loads(server.ask("GET", f"/{job}/result").body, parse_int=str) == sent
    assert list(sent["data"]) == ["z", "a", "ü", "m"]
    kept = (server.spool / "done" / job / "job.json").read_bytes()
    assert body[len('{"data": ') : body.index(', "params"')].encode() in kept


def test_an_exception_names_the_failure_and_its_traceback_is_in_the_log(serve, project):
    server = serve(project("def run():\n    raise LookupError('nothing there')\n"))
    job = server.submit()
    assert server.result(job) == {"code": "LookupError", "detail": "nothing there"}
    assert "Traceback" in (server.spool / "done" / job / "stderr.log").read_text()


def test_an_exit_code_names_the_failure_with_the_end_of_stderr(serve, project):
    server = serve(
        project("import sys\ndef run():\n    print('it broke', file=sys.stderr)\n    sys.exit(3)\n")
    )
    result = server.result(server.submit())
    assert result["code"] == "EXIT_3"
    assert "it broke" in result["detail"]


def test_nan_is_no_result(serve, project):
    server = serve(project("def run():\n    return {'x': float('nan')}\n"))
    job = server.submit()
    result = server.result(job)
    assert result["code"] == "INVALID_RESULT"
    assert "$.x" in result["detail"]


def test_a_program_that_takes_too_long_is_ended(serve, project):
    toml = "timeout = 0.5\n"
    server = serve(project("import time\ndef run():\n    time.sleep(600)\n", toml), "--grace", "1")
    job = server.submit()
    assert server.result(job)["code"] == "TIMEOUT"
    assert server.ask("GET", f"/{job}").json["status"] == "FAILED"


def test_a_service_gets_its_own_environment_and_no_other(serve, project, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "private")
    program = "import os\ndef run():\n    return dict(os.environ)\n"
    server = serve(project(program, '[environment]\nMODE = "fast"\n'))
    result = server.result(server.submit())
    assert result["MODE"] == "fast"
    assert "AWS_SECRET_ACCESS_KEY" not in result
