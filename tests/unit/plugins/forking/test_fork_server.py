"""The fork server: every job has a process of its own, at the cost of a fork."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys

import pytest

from tests.unit.plugins.forking.processes import FORKED, inside, namespace_of, servers, supervisor_of
from tests.unit.plugins.old_files import grow_old
from tests.unit.plugins.on_host import PythonOnHost
from treadle import Service, ServiceError
from treadle.testing import until


async def test_every_job_is_forked_into_a_process_of_its_own(run):
    assert await run(FORKED) is True
    host = "import os\ndef run():\n    return [os.getppid(), os.listdir('/proc/self/fd')]\n"
    parent, files = await run(host)
    assert parent == 1
    assert sorted(files)[:3] == ["0", "1", "2"]
    assert len(files) == 6  # the channel, the draft of its result, and the listing itself


SIGNALS = """
import signal
def run():
    known = [number for number in signal.valid_signals() if isinstance(number, signal.Signals)]
    return {
        "handlers": {number.name: str(signal.getsignal(number)).split(" at ")[0] for number in known},
        "blocked": [number.name for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
    }
"""


@pytest.fixture
def of_a_new_process():
    """Return the signals of a newly started interpreter."""
    script = f"{SIGNALS}\nimport json\nprint(json.dumps(run()))"
    new = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return json.loads(new.stdout)


async def test_signals_are_those_of_a_new_process(run, of_a_new_process):
    assert of_a_new_process["blocked"] == []
    assert await run(SIGNALS) == of_a_new_process
    assert await run(SIGNALS, start="spawn") == of_a_new_process


async def test_every_way_to_print_is_logged(run, runtime):
    program = """
import os, sys
def run():
    os.write(1, b'by number ')
    sys.__stdout__.write('the first one ')
    print('print')
    sys.__stderr__.write('the first error ')
    print('error', file=sys.stderr)
"""
    for start in ("fork", "spawn"):
        attempt = run.attempt(program, start=start)
        await runtime.start(attempt)
        await runtime.wait(attempt)
        assert attempt.stdout.read_text() == "by number the first one print\n"
        assert attempt.stderr.read_text() == "the first error error\n"


async def test_a_service_may_want_a_plain_start(run):
    assert await run(FORKED, start="spawn") is False


async def test_a_start_that_there_is_not_is_refused(run, runtime):
    attempt = run.attempt("")
    for options in ({"start": "warm"}, {"preload": [1]}):
        with pytest.raises(ServiceError, match=r"start|preload"):
            runtime.check(Service("test", attempt.service.path, options=options))


async def test_the_environment_is_the_job_s_own(run):
    program = "import os\ndef run():\n    return dict(os.environ)\n"
    forked = await run(program, None, {"MINE": "1"})
    spawned = await run(program, None, {"MINE": "1"}, start="spawn")
    assert forked.keys() == spawned.keys()
    different = {name for name in forked if forked[name] != spawned[name]}
    assert different == {"TREADLE_JOB_ID", "TREADLE_ATTEMPT"}
    assert "MINE" not in await run(program)


async def test_threads_of_numerical_libraries_are_capped_unless_the_service_says_otherwise(run):
    program = "import os\ndef run():\n    return os.environ['OMP_NUM_THREADS']\n"
    assert await run(program) == str(os.cpu_count())  # one job at a time has all of them
    many = PythonOnHost("namespace", jobs=1000, idle=0.2)
    assert await run(program, many) == "1"
    await many.close()
    assert await run(program, None, {"OMP_NUM_THREADS": "7"}) == "7"


async def test_what_is_preloaded_is_imported_once(run, project, tmp_path):
    (project / "src" / "heavy.py").write_text(
        f"with open({str(tmp_path / 'imports')!r}, 'a') as file:\n    file.write('x')\n"
    )
    program = "import sys\ndef run():\n    return 'src.heavy' in sys.modules\n"
    assert [await run(program, preload=["src.heavy"]) for _ in range(3)] == [True] * 3
    assert (tmp_path / "imports").read_text() == "x"
    assert await run(program) is False


async def test_the_server_of_a_service_that_is_released_ends_and_a_later_job_gets_another(
    run, runtime, project
):
    mark = {"FOR": str(project)}
    first = run.attempt(FORKED, mark)
    await runtime.start(first)
    await runtime.wait(first)
    assert len(servers(project)) == 1
    runtime.release(first.service)
    await until(lambda: servers(project) == [], "the end of the server")
    assert await run(FORKED, None, mark) is True


async def test_preloaded_code_that_changes_is_loaded_anew(run, project):
    heavy = project / "src" / "heavy.py"
    program = "from src import heavy\ndef run():\n    return heavy.VALUE\n"
    heavy.write_text("VALUE = 1\n")
    assert await run(program, preload=["src.heavy"]) == 1
    heavy.write_text("VALUE = 22\n")
    assert await run(program, preload=["src.heavy"]) == 22


async def test_the_code_of_a_program_is_preimported_and_that_is_not_seen(run, project, supervise):
    (project / "src" / "helper.py").write_text("NAME = __name__\n")
    program = project / "src" / "program.py"
    program.write_text(
        "import sys\n"
        "from .helper import NAME\n"
        "from . import program as itself\n"
        "def run():\n"
        "    module = sys.modules[__name__]\n"
        "    names = ('__name__', '__package__', '__file__', '__cached__')\n"
        "    found = {name: getattr(module, name) for name in names}\n"
        "    return [found, type(__loader__).__name__, __spec__.name, NAME, itself is module]\n"
    )
    grow_old(project)
    first = await run(None, entrypoint="src.program:run")
    grow_old(project)
    spawned = await run(None, entrypoint="src.program:run", start="spawn")
    assert first == spawned
    assert [await run(None, entrypoint="src.program:run") for _ in range(2)] == [first] * 2
    program.write_text("def run():\n    return 'changed'\n")
    assert await run(None, entrypoint="src.program:run") == "changed"
    grow_old(program)
    assert await run(None, entrypoint="src.program:run") == "changed"
    program.write_text("def run(:\n")
    grow_old(program)
    failure = await run(None, entrypoint="src.program:run")
    assert failure["code"] == "SyntaxError"


async def test_a_package_that_is_not_empty_any_more_is_loaded(run, project):
    start, program = project / "src" / "__init__.py", project / "src" / "program.py"
    program.write_text("import src\ndef run():\n    return getattr(src, 'VALUE', 0)\n")
    grow_old(project)
    assert await run(None, entrypoint="src.program:run") == 0
    start.write_text("VALUE = 1\n")
    assert await run(None, entrypoint="src.program:run") == 1


async def test_random_numbers_differ_from_job_to_job(run):
    program = (
        "import random\nimport numpy\ndef run():\n    return [random.random(), float(numpy.random.rand())]\n"
    )
    first, second = [await run(program, preload=["numpy", "random"]) for _ in range(2)]
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_what_starts_threads_is_not_forked_and_that_is_logged_once(run, project, caplog):
    (project / "src" / "threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    with caplog.at_level(logging.WARNING):
        assert [await run(FORKED, preload=["src.threads"]) for _ in range(2)] == [False] * 2
    assert sum("started threads" in each.message for each in caplog.records) == 1


async def test_a_module_that_can_t_be_preloaded_is_reported_and_jobs_run_without(run, caplog):
    with caplog.at_level(logging.WARNING):
        assert await run(FORKED, preload=["no_such_module"]) is False
    assert "no_such_module" in caplog.text


async def test_a_fork_server_outlives_its_engine_is_found_again_and_ends_without_a_lease(
    run, project, runtime
):
    mark = {"FOR": str(project)}
    assert await run(FORKED, None, mark)
    (server,) = servers(project)
    other, closed = [PythonOnHost("namespace", idle=0.2) for _ in range(2)]
    assert await run(FORKED, other, mark)
    assert await run(FORKED, closed, {"FOR": "control"})
    assert len(servers("control")) == 1
    await runtime.close()
    await closed.close()
    await until(lambda: not servers("control"))
    assert servers(project) == [server]  # the other engine has a lease
    await other.close()
    await until(lambda: not servers(project))


async def test_threads_are_waited_for_and_exit_handlers_are_called(run, tmp_path):
    program = (
        "import atexit, os, threading, time\n"
        "def write(text):\n"
        "    with open(os.environ['LOG'], 'a') as file:\n"
        "        file.write(text)\n"
        "def later():\n"
        "    time.sleep(0.1)\n"
        "    write('thread ')\n"
        "def run():\n"
        "    atexit.register(write, 'exit ')\n"
        "    threading.Thread(target=later).start()\n"
        "    return 1\n"
    )
    assert await run(program, None, {"LOG": str(tmp_path / "log")}) == 1
    assert (tmp_path / "log").read_text() == "thread exit "


@pytest.mark.parametrize(("code", "expected"), [("3", 3), ("None", 0), ("'why'", 1), ("-1", 255)])
async def test_an_exit_is_what_it_is_elsewhere(run, runtime, code, expected):
    attempt = run.attempt(f"import sys\ndef run():\n    print('out', end='')\n    sys.exit({code})\n")
    await runtime.start(attempt)
    assert (await runtime.wait(attempt)).code == expected
    assert attempt.stdout.read_text() == "out"
    stderr = attempt.stderr.read_text() if attempt.stderr.exists() else ""
    assert stderr == ("why\n" if expected == 1 else "")


async def test_a_stop_leaves_no_process_of_the_tree(run, runtime, tmp_path):
    program = (
        "import os, signal, time\n"
        "def run():\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            open(os.environ['READY'], 'w').close()\n"
        "    time.sleep(60)\n"
    )
    attempt = run.attempt(program, {"READY": str(tmp_path / "ready")})
    await runtime.start(attempt)
    await until((tmp_path / "ready").exists)
    supervisor = supervisor_of(attempt)
    namespace = namespace_of(supervisor)
    found = inside(namespace)
    assert len(found) == 4  # the supervisor, the program, its child and its grandchild
    await runtime.stop(attempt, 0.1)
    assert set(found) & set(inside(namespace)) == {supervisor}


async def test_a_server_that_is_killed_is_replaced_and_its_running_job_goes_on(
    run, project, runtime, tmp_path
):
    program = (
        "import os, time\n"
        "def run():\n"
        "    while not os.path.exists(os.environ['GATE']):\n"
        "        time.sleep(0.01)\n"
        "    return 1\n"
    )
    mark = {"FOR": str(project), "GATE": str(tmp_path / "gate")}
    running = run.attempt(program, mark)
    await runtime.start(running)
    (server,) = servers(project)
    server.send_signal(signal.SIGKILL)
    server.wait()
    assert await run(FORKED, None, mark) is True
    (tmp_path / "gate").touch()
    exit_ = await runtime.wait(running)
    assert json.loads(exit_.returned.read_bytes()) == 1
