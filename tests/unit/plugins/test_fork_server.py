"""The fork server: every job has a process of its own, at the cost of a fork."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.unit.plugins.on_host import PythonOnHost
from treadle import Attempt, Service, ServiceError
from treadle.testing import make_attempt, until

GATED = "import os\ndef run():\n    os.open(os.environ['GATE'], os.O_RDONLY)\n    return 1\n"
"""It ends when the pipe GATE is opened for writing."""
FORKED = "import sys\ndef run():\n    return 'treadle_inside.fork_server' in sys.modules\n"


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "src" / "__init__.py").touch()
    return tmp_path / "project"


@pytest.fixture
async def runtime():
    runtime = PythonOnHost("namespace", idle=0.2)
    yield runtime
    await runtime.close()


@pytest.fixture
def run(project, tmp_path, runtime):
    """Run a program as the next job of the one service and return what it returned."""
    numbers = iter(range(1000))

    async def run(
        program: str | None,
        by: PythonOnHost | None = None,
        environment: dict[str, str] | None = None,
        entrypoint: str | None = None,
        **options: object,
    ) -> object:
        attempt = make(program, environment, entrypoint, **options)
        await (by or runtime).start(attempt)
        exit_ = await (by or runtime).wait(attempt)
        assert exit_.returned is not None, (exit_, attempt.stderr.read_text())
        return json.loads(exit_.returned.read_bytes())

    def make(
        program: str | None,
        environment: dict[str, str] | None = None,
        entrypoint: str | None = None,
        **options: object,
    ) -> Attempt:
        number = next(numbers)
        if program is not None:
            (project / "src" / f"job{number}.py").write_text(program)
        service = Service(
            "test",
            project,
            entrypoint=entrypoint or f"src.job{number}:run",
            options=options,
            environment=environment or {},
        )
        return make_attempt(tmp_path, service=service, job=str(number))

    run.attempt, run.folder = make, tmp_path / "run"
    return run


def servers(mark: object) -> list[psutil.Process]:
    """Return the live fork servers of services that have this mark in their variable FOR."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        forked = "treadle_inside.fork_server" in " ".join(process.info["cmdline"] or [])
        if forked and (process.info["environ"] or {}).get("FOR") == str(mark):
            with suppress(OSError):  # a supervisor has a PID namespace of its own
                if namespace_of(process.pid) == namespace_of(os.getpid()):
                    found.append(process)
    return found


async def test_every_job_is_forked_into_a_process_of_its_own(run):
    assert await run(FORKED) is True
    host = "import os\ndef run():\n    return [os.getppid(), os.listdir('/proc/self/fd')]\n"
    parent, files = await run(host)
    assert parent == 1
    assert sorted(files)[:3] == ["0", "1", "2"]
    assert len(files) == 4  # the fourth one lists them


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
    assert different == {"TREADLE_JOB_ID", "TREADLE_ATTEMPT", "TMPDIR"}
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


async def test_preloaded_code_that_changes_is_loaded_anew(run, project):
    heavy = project / "src" / "heavy.py"
    program = "from src import heavy\ndef run():\n    return heavy.VALUE\n"
    heavy.write_text("VALUE = 1\n")
    assert await run(program, preload=["src.heavy"]) == 1
    heavy.write_text("VALUE = 22\n")
    assert await run(program, preload=["src.heavy"]) == 22


OLD = 10.0
"""Seconds since the last change of a settled file."""


def grow_old(*paths: Path) -> None:
    """Set the mtimes of files and folders into the past."""
    for path in paths:
        os.utime(path, (time.time() - OLD, time.time() - OLD))


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
    grow_old(program, project / "src" / "__init__.py", project / "src", project)
    first = await run(None, entrypoint="src.program:run")
    grow_old(program, project / "src" / "__init__.py", project / "src", project)
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
    grow_old(program, start, project / "src", project)
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


def namespace_of(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/pid").readlink()


def inside(namespace: Path) -> list[int]:
    """Return the processes of a PID namespace."""
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/pid"):
        with suppress(OSError):
            if path.readlink() == namespace:
                found.append(int(path.parts[2]))
    return found


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


def supervisor_of(attempt: Attempt) -> int:
    """Return the pid of the supervisor of an attempt."""
    supervisor = json.loads((attempt.folder / "process.json").read_bytes())
    assert isinstance(supervisor["pid"], int)
    return supervisor["pid"]


@pytest.fixture
def supervise(run, runtime):
    """Run a job that does nothing and return the process of its supervisor."""

    async def supervise() -> psutil.Process:
        attempt = run.attempt("def run():\n    return 1\n")
        await runtime.start(attempt)
        assert (await runtime.wait(attempt)).returned is not None
        return psutil.Process(supervisor_of(attempt))

    return supervise


async def test_a_supervisor_takes_one_job_after_the_other_and_goes_when_there_is_none(supervise):
    first = await supervise()
    await until(first.children)  # the preforked process that waits for its request
    files = first.num_fds()
    assert [await supervise() for _ in range(5)] == [first] * 5
    await until(lambda: first.num_fds() == files)
    await until(lambda: not first.is_running())  # two times 0.2 s without a job
    assert await supervise() != first


async def test_a_supervisor_says_who_it_is_though_the_jobs_before_are_removed(run, runtime, supervise):
    first = await supervise()
    for folder in run.folder.iterdir():
        shutil.rmtree(folder)
    assert await supervise() == await supervise() == first
    one, other = (folder / "process.json" for folder in run.folder.iterdir())
    assert one.samefile(other)
    assert list(run.folder.rglob(".process*")) == []


async def test_jobs_that_run_together_have_supervisors_of_their_own(run, runtime, tmp_path):
    os.mkfifo(tmp_path / "gate")
    attempts = [run.attempt(GATED, {"GATE": str(tmp_path / "gate")}) for _ in range(3)]
    for attempt in attempts:
        await runtime.start(attempt)
    assert len({supervisor_of(attempt) for attempt in attempts}) == 3
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    for attempt in attempts:
        assert (await runtime.wait(attempt)).code == 0
    os.close(gate)


async def test_a_supervisor_goes_with_its_engine_when_its_job_has_ended(run, project, tmp_path):
    os.mkfifo(tmp_path / "gate")
    engine, next_engine = [PythonOnHost("namespace", idle=0.2) for _ in range(2)]
    attempt = run.attempt(GATED, {"GATE": str(tmp_path / "gate")})
    await engine.start(attempt)
    supervisor = psutil.Process(supervisor_of(attempt))
    await engine.close()
    await next_engine.start(attempt)
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    assert (await next_engine.wait(attempt)).code == 0
    os.close(gate)
    await until(lambda: not supervisor.is_running())


async def test_a_free_supervisor_that_is_killed_is_replaced(supervise):
    first = await supervise()
    first.kill()
    await until(lambda: not first.is_running())
    assert await supervise() != first


async def test_a_preforked_process_that_is_killed_is_replaced(supervise):
    first = await supervise()
    for _ in range(3):
        await until(first.children)
        (waiting,) = first.children()
        waiting.kill()
        await until(lambda: waiting.status() == psutil.STATUS_ZOMBIE)  # noqa: B023  # it is awaited at once
        assert await supervise() == first
    await until(lambda: len(first.children()) == 1)  # none is left over


async def test_a_signal_that_comes_too_late_means_nothing_to_the_next_job(supervise):
    first = await supervise()
    for number in (signal.SIGTERM, signal.SIGUSR1):
        first.send_signal(number)
        assert await supervise() == first


async def test_stopping_what_has_ended_leaves_the_supervisor_s_next_job_alone(run, runtime, tmp_path):
    ended = run.attempt("def run():\n    return 1\n")
    await runtime.start(ended)
    await runtime.wait(ended)
    running = run.attempt(GATED, {"GATE": str(tmp_path / "gate")})
    os.mkfifo(tmp_path / "gate")
    same = run.attempt("def run():\n    return 1\n", {"GATE": str(tmp_path / "gate")})
    await runtime.start(same)
    await runtime.wait(same)
    await runtime.start(running)
    assert supervisor_of(running) == supervisor_of(same)
    await runtime.stop(same, 0.1)
    await runtime.stop(ended, 0.1)
    gate = os.open(tmp_path / "gate", os.O_RDWR)
    assert (await runtime.wait(running)).code == 0
    os.close(gate)


def drop_administration() -> None:
    """Drop CAP_SYS_ADMIN from the next exec on, because an ordinary user does not have it."""
    pr_capbset_drop, cap_sys_admin = 24, 21
    ctypes.CDLL(None).prctl(pr_capbset_drop, cap_sys_admin, 0, 0, 0)


def test_jobs_are_forked_without_root_s_rights_too(project, tmp_path):
    unshare = ["unshare", "--user", "--pid", "--fork", "true"]
    if subprocess.run(unshare, preexec_fn=drop_administration, check=False).returncode != 0:
        pytest.skip("this host permits no namespaces to ordinary users")
    (project / "src" / "program.py").write_text(FORKED)
    command = [sys.executable, "-m", "tests.unit.plugins.run_one", str(tmp_path), str(project)]
    ran = subprocess.run(command, preexec_fn=drop_administration, capture_output=True, check=True)
    assert (ran.stdout, ran.stderr) == (b"true", b"")
    assert json.loads((tmp_path / "run" / "job" / "process.json").read_bytes())["kind"] == "namespace"


@pytest.mark.parametrize(
    "spoil",
    [
        "pass",
        "open('file', 'w').close()",
        "os.makedirs('folder/in/folder')",
        "os.symlink('/etc', 'link')",
        "os.chmod('.', 0o777)",
        "os.rmdir(os.getcwd())",
        "os.rename(os.getcwd(), os.getcwd() + '-moved')",
        "os.mkdir('folder'), os.chmod('.', 0)",
    ],
)
async def test_each_job_finds_its_working_folder_empty_and_as_it_was_made(run, supervise, spoil):
    first = await supervise()
    await run(f"import os\ndef run():\n    {spoil}\n    return 1\n")
    program = "import os\ndef run():\n    return [os.listdir(), os.getcwd(), oct(os.stat('.').st_mode)]\n"
    files, folder, mode = await run(program)
    assert (files, mode) == ([], "0o40700")
    assert Path(folder).name == f"{first.pid}-work"


async def test_a_supervisor_that_goes_takes_its_working_folder_with_it(run, supervise, runtime):
    await supervise()
    (folder,) = (run.folder.parent / "tmp").iterdir()
    await runtime.close()
    await until(lambda: not folder.exists())


async def test_what_a_job_leaves_running_does_not_meet_the_next_one(run):
    leave = (
        "import os, time\n"
        "def run():\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        time.sleep(60)\n"
        "    return 1\n"
    )
    look = "import os\ndef run():\n    return [name for name in os.listdir('/proc') if name.isdigit()]\n"
    assert await run(leave) == 1
    found = await run(look)
    assert len(found) == 2
    assert found[0] == "1"
