"""Plugins of other authors: single files in a folder, good and broken ones."""

from __future__ import annotations

import json
import subprocess

from tests.acceptance.server import TREADLE, eventually

ECHO = '''
"""A runtime that returns its input without starting anything; its start is of the older interface."""

from treadle import Exit, OutputParser, Reason, Result, Runtime, hookimpl

__version__ = "1.2"


class Echo(Runtime):
    name = "echo"
    options = {"greeting": str}

    async def start(self, attempt):
        attempt.stdout.write_text("RESULT " + attempt.service.options["greeting"] + chr(10))

    async def wait(self, attempt):
        return Exit(Reason.ENDED, code=0)

    async def stop(self, attempt, grace):
        pass


class Plain(OutputParser):
    name = "plain"

    def feed(self, line):
        if line.startswith(b"RESULT "):
            yield Result(b'"' + line[7:] + b'"')


@hookimpl
def register_runtimes(settings):
    return [Echo()]


@hookimpl
def register_parsers():
    return [Plain]


@hookimpl
def validate_job(job):
    if b"forbidden" in bytes(job.data):
        return ["this input is forbidden here"]


@hookimpl
async def job_changed(job, before, after):
    raise ValueError("an observer that fails affects no other")
'''


def test_a_service_runs_on_a_runtime_and_a_parser_from_a_single_file(serve, tmp_path):
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "echo.py").write_text(ECHO)
    (plugins / "broken.py").write_text("import nothing_of_that_name\n")
    service = tmp_path / "greeter"
    service.mkdir()
    (service / "treadle.toml").write_text('runtime = "echo"\nparser = "plain"\ngreeting = "hello"\n')
    server = serve(service, "--plugins-dir", plugins)
    assert server.result(server.submit()) == "hello"
    refused = server.ask("POST", "/", b'{"data": {"forbidden": 1}}')
    assert refused.status == 400
    assert "forbidden here" in refused.json["detail"]
    eventually(lambda: "an observer that fails" in server.log.read_text(), "the failure in the log")
    assert server.log.read_text().count("start of runtime echo takes the attempt alone") == 1


def test_every_plugin_is_listed_and_a_broken_one_with_the_reason(tmp_path):
    (tmp_path / "echo.py").write_text(ECHO)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    (tmp_path / "wrong.py").write_text(
        "from treadle import hookimpl\n@hookimpl\ndef job_changed(jobb): ...\n"
    )
    (tmp_path / "twin.py").write_text(ECHO)
    command = [str(TREADLE), "plugins", "--json", "--plugins-dir", str(tmp_path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    listed = {each["name"]: each for each in json.loads(answer.stdout)}
    assert listed["echo"]["provides"] == [
        "runtime echo",
        "parser plain",
        "hook job_changed",
        "hook validate_job",
    ]
    assert listed["python-template"]["error"] is None
    assert "nothing_of_that_name" in listed["broken"]["error"]
    assert "jobb" in listed["wrong"]["error"]
    assert "'echo'" in listed["twin"]["error"]
