"""How a program's result comes to its name: by the program's report, and by its supervisor."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from tests.unit.plugins.on_host import PythonOnHost
from treadle import Exit, Service
from treadle.testing import make_attempt
from treadle_python.treadle_inside.result_file import ResultFile, take


@pytest.fixture
async def end(tmp_path):
    """Run a program and return its attempt and its exit."""
    runtime = PythonOnHost("namespace", idle=0.2)

    async def end(program: str, start: str = "fork"):
        project = tmp_path / "project"
        (project / "src").mkdir(parents=True)
        (project / "src" / "program.py").write_text(program)
        service = Service("test", project, options={"start": start})
        attempt = make_attempt(tmp_path / "spool", service=service)
        await runtime.start(attempt)
        return attempt, await runtime.wait(attempt)

    yield end
    await runtime.close()


def returned(exit_: Exit) -> object:
    assert exit_.returned is not None, exit_
    return json.loads(exit_.returned.read_bytes())


def names(attempt) -> set[str]:
    """Return the names in the attempt's folder, apart from the exit and the logs."""
    found = {path.name for path in attempt.folder.iterdir()}
    return {name for name in found if not name.startswith("exit-")} - {"stdout.log", "stderr.log"}


@pytest.mark.parametrize("start", ["fork", "spawn"])
async def test_a_result_has_its_name_and_nothing_else_is_left(end, start):
    attempt, exit_ = await end("def run():\n    return [1]\n", start)
    assert returned(exit_) == [1]
    assert names(attempt) == {"job.json", "process.json", "returned.json"}


@pytest.mark.parametrize("ends", ["pass", "import os; os._exit(3)", "import os; os.kill(os.getpid(), 9)"])
async def test_a_program_without_a_result_leaves_no_file_for_it(end, ends):
    attempt, exit_ = await end(f"def run():\n    {ends}\n")
    assert exit_.returned is None
    assert names(attempt) == {"job.json", "process.json"}


async def test_a_process_that_a_program_has_forked_does_not_return_for_it(end):
    program = (
        "import os\n"
        "def run():\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        return 'the child'\n"
        "    os.waitpid(pid, 0)\n"
        "    return 'itself'\n"
    )
    assert returned((await end(program))[1]) == "itself"


async def test_a_result_that_the_disk_does_not_take_is_a_failure_that_says_so(end):
    program = (
        "import resource\n"
        "def run():\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "    return 'x' * 10_000\n"
    )
    attempt, exit_ = await end(program)
    assert (exit_.failed, exit_.code) == (True, 1)
    assert returned(exit_)["code"] == "RESULT_NOT_WRITTEN"
    assert "File too large" in returned(exit_)["detail"]
    assert "File too large" in attempt.stderr.read_text()


async def test_where_nothing_can_be_written_the_exit_code_and_stderr_say_so(end):
    program = (
        "import resource\ndef run():\n    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n    return 'x'\n"
    )
    attempt, exit_ = await end(program)
    assert (exit_.returned, exit_.code) == (None, 74)  # EX_IOERR
    assert "can't be written: File too large" in attempt.stderr.read_text()
    assert names(attempt) == {"job.json", "process.json"}


async def test_a_program_that_closes_every_file_is_told_and_no_file_of_its_own_is_written(end, tmp_path):
    (tmp_path / "own").write_text("own")
    program = (
        "import os\n"
        "def run():\n"
        "    os.closerange(3, 100)\n"
        f"    files = [os.open({str(tmp_path / 'own')!r}, os.O_RDWR) for _ in range(10)]\n"
        "    return 1\n"
    )
    attempt, exit_ = await end(program)
    assert (exit_.returned, exit_.code) == (None, 74)  # EX_IOERR
    assert "has closed" in attempt.stderr.read_text()
    assert (tmp_path / "own").read_text() == "own"


@pytest.mark.parametrize("value", [1, None])
async def test_what_another_process_holds_of_a_program_s_descriptors_delays_nothing(end, tmp_path, value):
    """A program may pass its descriptors to any process of its user, which keeps them."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        program = (
            "import socket\n"
            "def run():\n"
            "    connection = socket.socket(socket.AF_UNIX)\n"
            f"    connection.connect({str(tmp_path / 'socket')!r})\n"
            "    socket.send_fds(connection, [b'x'], [1, 2, 3, 4])\n"
            f"    return {value}\n"
        )
        async with asyncio.timeout(30):
            _, exit_ = await end(program)
    assert exit_.code == 0
    assert (None if exit_.returned is None else returned(exit_)) == value


@pytest.mark.parametrize(
    "report", [b"", b"returned 2", b"returned -1", b"other 1", b"returned 1returned 1", b"\xff"]
)
def test_what_is_not_reported_complete_is_no_result(tmp_path, report):
    (tmp_path / ".returned.json").write_text("1")
    assert take(str(tmp_path), report) is None
    assert list(tmp_path.iterdir()) == []


def test_a_report_without_its_file_is_no_result(tmp_path):
    assert take(str(tmp_path), b"returned 1") is None
    (tmp_path / ".returned.json").symlink_to("/etc/passwd")
    assert take(str(tmp_path), b"returned 1") is None


@pytest.mark.parametrize("spoilt", [".returned.json", "returned.json"])
def test_a_folder_in_the_place_of_a_result_is_no_result(tmp_path, spoilt):
    (tmp_path / ".returned.json").write_text("1")
    (tmp_path / spoilt).unlink(missing_ok=True)
    (tmp_path / spoilt / "full").mkdir(parents=True)
    assert take(str(tmp_path), b"returned 1") is None


def test_without_a_supervisor_the_process_names_its_result_itself(tmp_path):
    ResultFile(str(tmp_path), None).write("returned", b"[1]")
    assert [path.name for path in tmp_path.iterdir()] == ["returned.json"]
