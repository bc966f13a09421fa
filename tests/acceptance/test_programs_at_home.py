"""Programs do what they do in a plain run of their function, in each way in which Treadle starts them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.server import Server

PLAIN = """
import json, sys
from src.program import run
value = run({}, {})
if value is not None:
    with open(sys.argv[1], "w") as file:
        json.dump(value, file)
"""
"""What somebody writes who tries a program without Treadle: its value goes to a file."""
RAISES = {
    "an exception": "raise ValueError('no value')",
    "a cancelled task": "import asyncio; raise asyncio.CancelledError",
    "an interrupt": "raise KeyboardInterrupt",
    "an exception without a text": "class Silent(Exception):\n        __str__ = None\n    raise Silent('x')",
    "a generator's exit": "raise GeneratorExit",
    "an exception of a group": "raise ExceptionGroup('several', [ValueError('1')])",
}
HOOK = """
import sys
sys.excepthook = lambda kind, error, trace: print('seen by a hook:', error, file=sys.stderr)
def run(data, params):
    raise ValueError('no value')
"""


@pytest.fixture(params=["fork", "spawn"])
def start(request):
    return request.param


def served(serve, folder: Path, program: str, start: str, more: str = "") -> Server:
    """Serve a project, and run it once in the plain way."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "program.py").write_text(program)
    (folder / "treadle.toml").write_text(f'name = "service"\nstart = "{start}"\n{more}')
    return serve(folder)


def plain_run(folder: Path, result: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PLAIN, str(result)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", RAISES)
def test_what_a_program_raises_is_its_failure(serve, tmp_path, name, start):
    program = f"def run(data, params):\n    {RAISES[name]}\n"
    server = served(serve, tmp_path / "project", program, start)
    job = server.submit()
    assert server.ended(job)["status"] == "FAILED"
    plain = plain_run(tmp_path / "project", tmp_path / "result")
    failure = server.ask("GET", f"/{job}/result").json
    assert re.search(rf"\b{failure['code']}\b", plain.stderr)
    log = (server.spool / "done" / job / "stderr.log").read_text()
    assert log.splitlines()[-1] == plain.stderr.splitlines()[-1]
    assert "treadle_inside" not in log
    assert server.status(job)["attempts"][-1]["code"] == 1


def test_the_program_s_own_hook_sees_its_exception(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", HOOK, start)
    job = server.submit()
    assert server.ended(job)["status"] == "FAILED"
    plain = plain_run(tmp_path / "project", tmp_path / "result")
    assert (server.spool / "done" / job / "stderr.log").read_text() == plain.stderr
    assert server.ask("GET", f"/{job}/result").json == {"code": "ValueError", "detail": "no value"}


USES = """
import subprocess, sys
def run(data, params):
    code = "x = bytearray(b'x' * 100_000_000); n = sum(range(10_000_000))"
    subprocess.run([sys.executable, "-c", code], check=True)
"""


def test_the_status_tells_what_an_attempt_has_used(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", USES, start)
    server.ended(job := server.submit())
    (attempt,) = server.status(job)["attempts"]
    assert 0.1 < attempt["cpu_seconds"] < 60
    assert 100_000_000 < attempt["peak_memory"] < 10**9


def test_text_in_place_of_a_value_is_noted(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", "def run(data, params):\n    return [1j]\n", start)
    server.ended(job := server.submit())
    assert server.result(job) == ["1j"]
    assert any("complex" in note for note in server.status(job)["notes"])


def test_null_is_no_input(serve, tmp_path, start):
    program = "def run(data=None, params=None):\n    return [data, params]\n"
    server = served(serve, tmp_path / "project", program, start)
    answer = server.ask("POST", "/", json.dumps({"data": None, "params": None}).encode())
    assert server.result(answer.json["id"]) == [{}, {}]


USE = (
    "from src import tools\nfrom pathlib import Path\n"
    "def run(data, params):\n"
    "    files = [open(f\"{data['folder']}/{number}\", 'w') for number in range(20)]\n"
    "    return tools.use(data['n'])\n"
)
HERE = "from pathlib import Path\nHERE = Path(__file__).parents[1]\n"
TOOLS = {
    "a log": (
        "import logging\nlogging.basicConfig(filename=HERE / 'log', format='%(message)s')\n"
        "def use(n):\n    logging.warning('line %d', n)\n    return n\n"
    ),
    "a file for writing": (
        "LOG = open(HERE / 'log', 'a')\nLOG.write('begun ')\ndef use(n):\n    return LOG.write(f'{n}')\n"
    ),
    "a file for reading": (
        "TABLE = open(HERE / 'table')\nTABLE.readline()\ndef use(n):\n    return len(TABLE.read())\n"
    ),
    "a database": (
        "import sqlite3\nBASE = sqlite3.connect(HERE / 'base')\n"
        "def use(n):\n    return list(BASE.execute('select 1').fetchone())\n"
    ),
    "a socket": (
        "import socket\nPAIR = socket.socketpair()\n"
        "def use(n):\n    PAIR[0].send(b'x')\n    return PAIR[1].recv(9).decode()\n"
    ),
    "a finaliser": (
        "class Ends:\n    def __del__(self, append=open, path=HERE / 'ends'):\n"
        "        append(path, 'a').write('end ')\n"
        "KEPT = Ends()\ndef use(n):\n    return n\n"
    ),
}


@pytest.mark.parametrize("name", TOOLS)
def test_what_was_preloaded_is_as_if_it_had_been_imported(serve, tmp_path, name):
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "table").write_text("a table\n" * 10_000)
    (project / "src" / "tools.py").write_text(HERE + TOOLS[name])
    (project / "treadle.toml").write_text('name = "service"\npreload = ["src.tools"]\n')
    (project / "src" / "__init__.py").touch()
    (project / "src" / "program.py").write_text(USE)
    server = serve(project)
    results = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        results.append(server.result(server.submit({"folder": str(tmp_path / str(number)), "n": number})))
        assert [each.stat().st_size for each in (tmp_path / str(number)).iterdir()] == [0] * 20
    expected = {"a file for writing": [1] * 3, "a file for reading": [8 * 9_999] * 3, "a database": [[1]] * 3}
    assert results == expected.get(name, ["x"] * 3 if name == "a socket" else [0, 1, 2])
    if name == "a log":
        assert (project / "log").read_text() == "line 0\nline 1\nline 2\n"
    if name == "a file for writing":
        assert (project / "log").read_text() == "begun 012"
    if name == "a finaliser":
        assert (project / "ends").read_text() == "end end end "
    assert ("can't share" in server.log.read_text()) is (name in {"a database", "a socket"})


SEEDS = """
import random
import numpy
UNSEEDED, SEEDED = random.Random(), random.Random(42)
NEW, FIXED = numpy.random.default_rng(), numpy.random.default_rng(42)
OLD, OLD_FIXED = numpy.random.RandomState(), numpy.random.RandomState(7)
SEQUENCE = numpy.random.SeedSequence()
SPAWNED = numpy.random.default_rng(SEQUENCE.spawn(1)[0])
PHILOX = numpy.random.Generator(numpy.random.Philox())
def anew():
    sequences = (*NEW.bit_generator.seed_seq.spawn(1), SEQUENCE)
    spawned = [numpy.random.default_rng(each).random() for each in sequences]
    drawn = [random.random(), UNSEEDED.random(), numpy.random.random()]
    return drawn + spawned + [each.random() for each in (NEW, SPAWNED, PHILOX)] + [OLD.random_sample()]
def same():
    return [SEEDED.random(), FIXED.random(), OLD_FIXED.random_sample()]
"""
DRAWS = "from src import tools\ndef run(data, params):\n    return [tools.anew(), tools.same()]\n"
GIVEN = """
import random
import numpy
random.seed(1)
numpy.random.seed(2)
def anew():
    return []
def same():
    return [random.random(), numpy.random.random()]
"""


@pytest.mark.parametrize("tools", [SEEDS, GIVEN], ids=["generators", "modules"])
def test_preloaded_generators_are_seeded_anew_unless_they_were_given_a_seed(serve, tmp_path, tools):
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "treadle.toml").write_text('name = "service"\npreload = ["src.tools"]\n')
    (project / "src" / "__init__.py").touch()
    (project / "src" / "tools.py").write_text(tools)
    (project / "src" / "program.py").write_text(DRAWS)
    value = tmp_path / "value"
    assert plain_run(project, value).returncode == 0
    plain_anew, plain_same = json.loads(value.read_bytes())
    server = serve(project)
    drawn = [server.result(server.submit()) for _ in range(3)]
    assert [same for _, same in drawn] == [plain_same] * 3
    numbers = [number for anew, _ in drawn for number in anew] + plain_anew
    assert len(set(numbers)) == len(numbers)
    assert "fork" not in server.log.read_text()


READS = """
import json
def run(data, params):
    with open('input/data.json') as file:
        return json.load(file)
"""


@pytest.mark.parametrize("where", ["empty", "project"])
def test_a_program_reads_its_project_s_files_where_it_works_there(serve, tmp_path, start, where):
    (tmp_path / "project" / "input").mkdir(parents=True)
    (tmp_path / "project" / "input" / "data.json").write_text('{"n": 1}')
    server = served(serve, tmp_path / "project", READS, start, f'workdir = "{where}"\n')
    server.ended(job := server.submit())
    result = server.ask("GET", f"/{job}/result").json
    if where == "project":
        assert result == {"n": 1}
    else:
        assert result["code"] == "FileNotFoundError"
        assert 'workdir = "project"' in result["detail"]


def test_a_command_works_in_its_project_as_well(serve, tmp_path):
    (project := tmp_path / "project").mkdir()
    (project / "value").write_text("1")
    command = """["/bin/sh", "-c", "echo PlanQK:Job:Result: $(cat value)"]"""
    (project / "treadle.toml").write_text(f'program = "command"\ncommand = {command}\nworkdir = "project"\n')
    server = serve(project)
    assert server.result(server.submit()) == 1


WRITES = """
def run(data, params):
    with open('notes.txt', 'w') as file:
        file.write('seen')
    if data['fails']:
        raise ValueError('on purpose')
    return open('notes.txt').read()
"""


def test_the_working_folder_of_a_failed_job_is_kept_where_that_is_wished(serve, tmp_path, start):
    server = served(serve, tmp_path / "project", WRITES, start, 'keep_work = "failed"\n')
    for fails in (True, False, True):
        server.ended(job := server.submit({"fails": fails}))
        kept = server.spool / "done" / job / "work"
        assert [each.name for each in kept.glob("*")] == ["notes.txt"] * fails
        assert (kept / "notes.txt").exists() is fails
