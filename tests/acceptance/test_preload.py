"""What a service has imported once is, for each of its programs, as if that had imported it itself."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.acceptance.plain import plain_run
from tests.acceptance.programs import native


def preloading(folder: Path, tools: str, program: str) -> Path:
    """Write a service that has its module `src.tools` imported once."""
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "tools.py").write_text(tools)
    (folder / "src" / "program.py").write_text(program)
    (folder / "treadle.toml").write_text('name = "service"\npreload = ["src.tools"]\n')
    return folder


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


PRINTS = """
import sys
OUT = sys.stdout
def log(text, file=sys.stderr):
    print(text, file=file)
print("at the import")
print("an error at the import", file=sys.stderr)
print("x" * 300_000)
sys.stdout.write("half a line")
"""
PRINTED = """
from src import tools
def run(data, params):
    tools.log("to the stream of before")
    print("PlanQK:Job:InterimResult: 1", file=tools.OUT)
    tools.OUT.write("another half")
    return 1
"""


def test_what_a_preloaded_module_prints_and_the_streams_it_keeps_are_those_of_each_job(serve, tmp_path):
    project = preloading(tmp_path / "project", PRINTS, PRINTED)
    plain = plain_run(project, tmp_path / "value")
    server = serve(project)
    for _ in range(3):
        job = server.submit()
        assert server.result(job) == 1
        assert (server.spool / "done" / job / "stdout.log").read_text() == plain.stdout
        assert (server.spool / "done" / job / "stderr.log").read_text() == plain.stderr
    assert "preload" not in server.log.read_text()


def test_a_stream_that_a_preloaded_module_has_put_in_place_stays(serve, tmp_path):
    tools = (
        "import sys\nclass Tee:\n    def __init__(self, stream):\n        self.stream = stream\n"
        "    def write(self, text):\n        return self.stream.write(text.upper())\n"
        "    def flush(self):\n        self.stream.flush()\nsys.stdout = Tee(sys.stdout)\n"
    )
    program = "from src import tools\ndef run(data, params):\n    print('quiet')\n"
    server = serve(preloading(tmp_path / "project", tools, program))
    server.ended(job := server.submit())
    assert (server.spool / "done" / job / "stdout.log").read_text() == "QUIET\n"


STARTS = {
    "a command": "import subprocess\nCHILD = subprocess.Popen(['sleep', '15'])\n",
    "a fork": "import os, time\nif os.fork() == 0:\n    time.sleep(15)\n    os._exit(0)\n",
}


@pytest.mark.parametrize("tools", STARTS.values(), ids=STARTS)
def test_a_process_that_a_preloaded_module_starts_delays_nothing(serve, tmp_path, tools):
    program = "from src import tools\ndef run(data, params):\n    return 1\n"
    server = serve(preloading(tmp_path / "project", tools, program))
    longest, done = 0.0, threading.Event()

    def probe() -> None:
        nonlocal longest
        while not done.is_set():
            begun = time.monotonic()
            assert server.ask("GET", "/-/health").status == 200
            longest = max(longest, time.monotonic() - begun)

    (prober := threading.Thread(target=probe)).start()
    assert server.result(server.submit()) == 1
    done.set()
    prober.join()
    assert longest < 10


CHANGES = {
    "json.dumps": "import json\njson.dumps = lambda *_, **__: 'changed'\n",
    "builtins.open": "import builtins\nbuiltins.open = lambda *_, **__: None\n",
    "select.poll": "import select\nselect.poll = lambda: None\n",
    "os.fork": "import os\nos.fork = lambda: 0\n",
    "socket.socket": "import socket\nsocket.socket = None\n",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_module_that_changes_what_the_server_needs_is_told_and_nothing_is_forked(serve, tmp_path, name):
    program = "from src import tools\ndef run(data, params):\n    return [1]\n"
    server = serve(preloading(tmp_path / "project", CHANGES[name], program))
    assert server.result(server.submit()) == [1]
    assert f"what was preloaded has changed {name}" in server.log.read_text()


KEEPS = {
    "shared memory": ("import mmap\nM = mmap.mmap(-1, 100)\n", "has memory that all programs would share"),
    "a lock": ("import multiprocessing\nL = multiprocessing.Lock()\n", "all programs would share"),
    "a folder": ("import tempfile\nT = tempfile.TemporaryDirectory()\n", "has made /"),
    "a process": ("import subprocess\nP = subprocess.Popen(['sleep', '5'])\n", "has started a process"),
    "a generator of another kind": (
        "import random\nclass R(random.Random):\n    def seed(self, a=None, n=0):\n"
        "        super().seed(a)\n        if hasattr(self, 'once'):\n            raise KeyError('twice')\n"
        "        self.once = 1\nG = R()\n",
        "can't be renewed: KeyError",
    ),
    "a path": ("import os\nP = os.open('/', os.O_PATH)\n", "programs can't share that"),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_programs_would_share_is_told_and_nothing_is_forked(serve, tmp_path, name):
    tools, words = KEEPS[name]
    program = "from src import tools\ndef run(data, params):\n    return [1]\n"
    server = serve(preloading(tmp_path / "project", tools, program))
    assert [server.result(server.submit()) for _ in range(2)] == [[1], [1]]
    assert words in server.log.read_text()


HARMLESS = """
import random, secrets, weakref
BITS = secrets.randbits(64)
class Equal(random.Random):
    def __eq__(self, other):
        return True
GENERATOR = Equal()
class Gone:
    pass
PROXY = weakref.proxy(Gone())
"""


def test_harmless_objects_of_a_preloaded_module_keep_nobody_from_forking(serve, tmp_path):
    program = "from src import tools\ndef run(data, params):\n    return tools.GENERATOR.random()\n"
    server = serve(preloading(tmp_path / "project", HARMLESS, program))
    assert len({server.result(server.submit()) for _ in range(3)}) == 3
    assert "fork" not in server.log.read_text()


STATES = """
import random
STATE = random.Random(5).getstate()
OWN = random.Random()
OWN.setstate(STATE)
random.setstate(STATE)
"""


def test_a_state_that_a_preloaded_generator_was_given_stays(serve, tmp_path):
    program = (
        "import random\nfrom src import tools\n"
        "def run(data, params):\n    return [random.random(), tools.OWN.random()]\n"
    )
    project, value = preloading(tmp_path / "project", STATES, program), tmp_path / "value"
    assert plain_run(project, value).returncode == 0
    server = serve(project)
    assert [server.result(server.submit()) for _ in range(2)] == [json.loads(value.read_bytes())] * 2


def test_a_library_that_was_preloaded_comes_to_its_end_in_each_job(serve, tmp_path):
    libraries = native.Libraries(tmp_path)
    libraries.skip_without("a C extension")
    tools = f"import sys\nsys.path.append({str(tmp_path)!r})\nimport buffering\n"
    program = (
        "from src import tools\ndef run(data, params):\n"
        "    tools.buffering.say('printed')\n    tools.buffering.leave(data['path'])\n    return 1\n"
    )
    server = serve(preloading(tmp_path / "project", tools, program))
    for number in range(2):
        path = tmp_path / f"left-{number}"
        job = server.submit({"path": str(path)})
        assert server.result(job) == 1
        printed = (server.spool / "done" / job / "stdout.log").read_text()
        assert printed == "printed from C\nat the exit of C\n"
        assert path.read_text() == "into a file that stays open"
