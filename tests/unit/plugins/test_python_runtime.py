"""The runtime `python-template`, without an engine: start, wait and stop over a folder.

Every attempt is started by a spawn process here, so that its processes are found by their environment. The
fork server is tested in forking/.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.plugins.on_host import PythonOnHost
from treadle import Attempt, Exit, Reason, Service, ServiceError, StartError, boot
from treadle.testing import make_attempt, until
from treadle_python.supervisor_handle import SupervisorHandle


@pytest.fixture(params=["namespace", "subreaper"])
def runtime(request):
    if request.param == "namespace" and not Path("/proc/self/ns/pid").exists():
        pytest.skip("the kernel has no PID namespaces")
    return PythonOnHost(request.param)


@pytest.fixture
def attempt(tmp_path):
    """Return a function that makes an attempt of a program."""

    def make(program: str, data: str = "{}", params: str = "{}", **service: object) -> Attempt:
        project = tmp_path / "project"
        (project / "src").mkdir(parents=True)
        (project / "src" / "__init__.py").touch()
        (project / "src" / "program.py").write_text(program)
        options = {"start": "spawn", **service.pop("options", {})}
        made = Service(name="test", path=project, options=options, **service)
        return make_attempt(tmp_path / "spool", service=made, data=data.encode(), params=params.encode())

    return make


async def run(runtime: PythonOnHost, attempt: Attempt) -> Exit:
    await runtime.start(attempt)
    return await runtime.wait(attempt)


def returned(exit_: Exit) -> object:
    assert exit_.returned is not None, exit_
    return json.loads(exit_.returned.read_bytes())


def marked(attempt: Attempt) -> list[int]:
    """Return the pids of the processes that have the attempt in their environment, its supervisor apart.

    The supervisor stays until the engine has published the end.
    """
    supervisor, found = SupervisorHandle.of(attempt.folder), []
    for process in psutil.process_iter():
        try:
            if supervisor is not None and process.pid == supervisor.pid:
                continue
            if process.environ().get("TREADLE_ATTEMPT", "").startswith(attempt.spool_id):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("run(data, params)", {"data": 1, "params": 2}),
        ("run(data=None, params=None)", {"data": 1, "params": 2}),
        ("run(params, data)", {"data": 1, "params": 2}),
        ("run(data)", {"data": 1}),
        ("run(params)", {"params": 2}),
        ("run()", {}),
        ("run(**kwargs)", {"kwargs": {"data": {"n": 1}, "params": {"n": 2}}}),
        ("run(data, **kwargs)", {"data": 1, "kwargs": {"params": {"n": 2}}}),
        ("run(*args)", {"args": [{"n": 1}, {"n": 2}]}),
        ("run(data, /, params)", {"data": 1, "params": 2}),
        ("run(*, data, params)", {"data": 1, "params": 2}),
        ("run(inputs, settings)", {"inputs": 1, "settings": 2}),
        ("run(data, extra=7)", {"data": 1, "extra": 7}),
        ("run(data, settings=None)", {"data": 1, "settings": 2}),
        ("run(inputs={}, settings=None)", {"inputs": 1, "settings": 2}),
        ("run(data, *settings)", {"data": 1, "settings": [{"n": 2}]}),
    ],
)
async def test_run_is_called_with_what_its_signature_asks_for(attempt, signature, expected):
    program = f"""
def {signature}:
    found = dict(locals())
    return {{name: value['n'] if isinstance(value, dict) and 'n' in value else value
            for name, value in found.items()}}
"""
    exit_ = await run(PythonOnHost(), attempt(program, '{"n": 1}', '{"n": 2}'))
    assert returned(exit_) == expected


async def test_a_coroutine_is_awaited(attempt):
    program = "import asyncio\nasync def run(data):\n    await asyncio.sleep(0)\n    return {'got': data}\n"
    assert returned(await run(PythonOnHost(), attempt(program, '{"a": 1}'))) == {"got": {"a": 1}}


async def test_another_entry_point(attempt):
    made = attempt("def other(data):\n    return 'other'\n", entrypoint="src.program:other")
    assert returned(await run(PythonOnHost(), made)) == "other"


@pytest.mark.parametrize(
    ("entrypoint", "code"),
    [("src.nothing:run", "ModuleNotFoundError"), ("src.program:nothing", "ImportError")],
)
async def test_an_entry_point_that_is_missing_is_reported(attempt, entrypoint, code):
    exit_ = await run(PythonOnHost(), attempt("", entrypoint=entrypoint))
    assert exit_.failed
    assert returned(exit_)["code"] == code


async def test_nothing_returned_leaves_the_result_to_the_output(attempt):
    exit_ = await run(PythonOnHost(), attempt("def run():\n    pass\n"))
    assert (exit_.returned, exit_.failed, exit_.code) == (None, False, 0)


async def test_a_result_that_the_disk_refuses_is_a_failure_that_says_so(runtime, attempt):
    program = """
import resource
def run():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    return 'x' * 5000
"""
    made = attempt(program)
    exit_ = await run(runtime, made)
    assert (exit_.code, exit_.failed) == (1, True)
    assert returned(exit_)["code"] == "RESULT_NOT_WRITTEN"
    assert "File too large" in returned(exit_)["detail"]
    assert not list(made.folder.glob(".*"))


async def test_where_not_even_the_failure_can_be_written_the_exit_code_tells(runtime, attempt):
    program = """
import resource
def run():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return 'x'
"""
    made = attempt(program)
    exit_ = await run(runtime, made)
    assert (exit_.code, exit_.returned) == (74, None)
    assert "can't be written: File too large" in made.stderr.read_text()


async def test_deep_input_reaches_the_program(attempt):
    deep = '{"x":' * 900 + "1" + "}" * 900
    program = (
        "def run(data):\n    n = 0\n    while data != 1:\n        data, n = data['x'], n + 1\n    return n\n"
    )
    assert returned(await run(PythonOnHost(), attempt(program, deep))) == 900


async def test_output_goes_to_files_byte_for_byte(runtime, attempt):
    program = """
import os, sys
def run():
    os.write(1, bytes(range(256)))
    sys.stderr.write('to stderr')
    print('last')
"""
    made = attempt(program)
    await run(runtime, made)
    assert made.stdout.read_bytes() == bytes(range(256)) + b"last\n"
    assert made.stderr.read_bytes() == b"to stderr"


async def test_a_program_has_its_own_folder_no_input_and_no_other_files(runtime, attempt):
    program = """
import os, sys
def run():
    open('scratch', 'w').close()
    return {'stdin': sys.stdin.read(), 'cwd': os.getcwd(), 'files': sorted(os.listdir('/proc/self/fd'))[:3],
            'open': len(os.listdir('/proc/self/fd')), 'tmp': os.environ['TMPDIR']}
"""
    made = attempt(program)
    found = returned(await run(runtime, made))
    assert found["stdin"] == ""
    assert found["tmp"] == "/tmp" or re.fullmatch(r"/proc/\d+/fd/\d+|.*/\d+-tmp", found["tmp"])
    assert Path(found["cwd"]).parent == made.scratch
    assert found["files"] == ["0", "1", "2"]
    assert found["open"] == 6  # the channel, the draft of its result, and the listing itself
    await until(lambda: not (Path(found["cwd"]) / "scratch").exists())


async def test_only_the_allowed_variables_and_the_service_s_own_reach_it(attempt, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    made = attempt("import os\ndef run():\n    return dict(os.environ)\n", environment={"MODE": "fast"})
    found = returned(await run(PythonOnHost(), made))
    assert "SECRET_TOKEN" not in found
    assert (found["MODE"], found["LC_ALL"], found["TREADLE_JOB_ID"]) == ("fast", "C.UTF-8", "job")


async def test_output_is_cut_at_its_limit_and_the_program_goes_on(runtime, attempt):
    made = attempt("def run():\n    print('x' * 10_000_000)\n    return 1\n", options={"output_limit": 1000})
    exit_ = await run(runtime, made)
    assert made.stdout.stat().st_size == 1000
    assert "cut at 1000 bytes" in exit_.detail
    assert returned(exit_) == 1


async def test_an_exit_code(runtime, attempt):
    exit_ = await run(runtime, attempt("import os\ndef run():\n    os._exit(7)\n"))
    assert (exit_.reason, exit_.code, exit_.signal) == (Reason.ENDED, 7, None)


async def test_a_signal(runtime, attempt):
    exit_ = await run(runtime, attempt("import os\ndef run():\n    os.kill(os.getpid(), 11)\n"))
    assert (exit_.reason, exit_.code, exit_.signal) == (Reason.ENDED, None, signal.SIGSEGV)


async def test_an_exception_is_the_failure_and_its_traceback_the_log(runtime, attempt):
    made = attempt("def run():\n    raise KeyError('values')\n")
    exit_ = await run(runtime, made)
    assert exit_.failed
    assert returned(exit_) == {"code": "KeyError", "detail": "'values'"}
    assert "Traceback" in made.stderr.read_text()


async def test_sys_exit_is_an_exit(runtime, attempt):
    exit_ = await run(runtime, attempt("import sys\ndef run():\n    sys.exit('went wrong')\n"))
    assert exit_.code == 1


DAEMON = """
import os, signal, time
def run(data):
    if {ignore}:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            print('ready')
            time.sleep(600)
        os._exit(0)
    os.wait()
    if {stay}:
        time.sleep(600)
"""


@pytest.mark.parametrize("ignore", [True, False])
async def test_after_a_stop_no_process_of_its_tree_is_alive(runtime, attempt, ignore):
    made = attempt(DAEMON.format(ignore=ignore, stay=True))
    await runtime.start(made)
    await until(lambda: made.stdout.exists() and b"ready" in made.stdout.read_bytes())
    assert len(marked(made)) >= 2
    await runtime.stop(made, 0.2)
    assert marked(made) == []
    assert (await runtime.wait(made)).reason is Reason.ENDED


async def test_when_a_program_ends_its_daemon_ends_with_it(runtime, attempt):
    made = attempt(DAEMON.format(ignore=False, stay=False))
    await run(runtime, made)
    assert marked(made) == []


async def test_a_program_that_handles_sigterm_has_its_grace_period(runtime, attempt):
    program = """
import os, signal, sys, time
def run():
    def leave(*_):
        os.write(1, b'cleaned up')  # print() may be interrupted here, and is not reentrant
        sys.exit(0)
    signal.signal(signal.SIGTERM, leave)
    print('ready')
    time.sleep(600)
"""
    made = attempt(program)
    await runtime.start(made)
    await until(lambda: made.stdout.exists() and b"ready" in made.stdout.read_bytes())
    start = time.monotonic()
    await runtime.stop(made, 30)
    assert time.monotonic() - start < 10
    assert b"cleaned up" in made.stdout.read_bytes()


async def test_when_the_supervisor_is_killed_no_process_is_left_and_the_attempt_is_lost(runtime, attempt):
    made = attempt(DAEMON.format(ignore=True, stay=True))
    await runtime.start(made)
    await until(lambda: made.stdout.exists() and b"ready" in made.stdout.read_bytes())
    os.kill(SupervisorHandle.of(made.folder).pid, signal.SIGKILL)
    assert (await runtime.wait(made)).reason is Reason.LOST
    assert marked(made) == []


async def test_starting_again_adopts_what_runs(runtime, attempt):
    made = attempt("def run():\n    print('once')\n")
    await runtime.start(made)
    await runtime.start(made)
    await PythonOnHost().wait(made)
    await runtime.start(made)
    assert made.stdout.read_bytes() == b"once\n"


async def test_concurrent_starts_start_it_once(runtime, attempt):
    made = attempt("import time\ndef run():\n    print('once')\n    time.sleep(0.2)\n")
    await asyncio.gather(*(runtime.start(made) for _ in range(6)))
    await runtime.wait(made)
    assert made.stdout.read_bytes() == b"once\n"


async def test_an_attempt_that_was_given_up_is_never_started(runtime, attempt):
    made = attempt("def run():\n    print('ran')\n")
    assert (await runtime.wait(made)).reason is Reason.LOST
    await runtime.start(made)
    assert (await runtime.wait(made)).reason is Reason.LOST
    assert not made.stdout.exists()


async def test_a_supervisor_of_before_the_last_boot_is_not_mistaken_for_a_living_process(runtime, attempt):
    made = attempt("def run():\n    pass\n")
    other = {"pid": os.getpid(), "started": 1, "boot": "another", "kind": "namespace"}
    (made.folder / "process.json").write_text(json.dumps(other))
    assert (await runtime.wait(made)).reason is Reason.LOST


async def test_a_pid_that_another_process_has_now_is_not_waited_for_or_killed(runtime, attempt):
    made = attempt("def run():\n    pass\n")
    other = {"pid": os.getpid(), "started": 1, "boot": boot(), "kind": "namespace"}
    (made.folder / "process.json").write_text(json.dumps(other))
    await runtime.stop(made, 0)
    assert (await runtime.wait(made)).reason is Reason.LOST


async def test_an_interpreter_that_is_missing_is_reported(attempt, tmp_path):
    made = attempt("def run():\n    pass\n", python=tmp_path / "nothing")
    with pytest.raises(StartError, match="python"):
        await PythonOnHost().start(made)
    with pytest.raises(ServiceError, match="nothing"):
        PythonOnHost().check(made.service)


async def test_an_interpreter_that_fails_is_reported_with_its_output(attempt, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no luck >&2\nexit 9\n")
    broken.chmod(0o755)
    with pytest.raises(StartError, match="no luck") as caught:
        await PythonOnHost().start(attempt("", python=broken))
    assert caught.value.code == "PYTHON_NOT_STARTED"


async def test_a_start_that_is_cancelled_starts_nothing_later(attempt, tmp_path):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nsleep 600\n")
    slow.chmod(0o755)
    made = attempt("def run():\n    print('ran')\n", python=slow)
    starting = asyncio.create_task(PythonOnHost().start(made))
    await until(lambda: marked(made))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (await PythonOnHost().wait(dataclasses.replace(made))).reason is Reason.LOST
    await until(lambda: not marked(made))


def test_a_supervisor_that_was_first_is_not_fenced_out(tmp_path):
    (tmp_path / "process.json").write_text('{"pid": 1, "started": 2, "boot": "x", "kind": "namespace"}')
    assert SupervisorHandle.fence(tmp_path) == SupervisorHandle(pid=1, started=2, boot="x", kind="namespace")
    assert SupervisorHandle.of(tmp_path) == SupervisorHandle(pid=1, started=2, boot="x", kind="namespace")
