"""What a program leaves outside of its folders: /tmp and shared memory are its own, /tmp on the disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

LEAVES = """
import ctypes, os, pathlib, subprocess, sys, tempfile
from multiprocessing import shared_memory
libc = ctypes.CDLL(None, use_errno=True)
def run(data, params):
    name = data["name"]
    places = [pathlib.Path("/tmp", name), pathlib.Path("/dev/shm", name)]
    segment = libc.shmget(data["key"], 4096, 0o600)
    found = [each.exists() for each in places] + [segment >= 0, os.listdir(tempfile.gettempdir())]
    for each in places:
        each.write_text("left")
    tempfile.mkstemp()
    shared_memory.SharedMemory(name=name + "-forgotten", create=True, size=4096)
    assert libc.shmget(data["key"], 4096, 0o1600) >= 0
    libc.mq_open(b"/" + name.encode(), os.O_CREAT | os.O_RDWR, 0o600, None)
    return found
"""
WAYS = {
    "fork": 'start = "fork"\n',
    "spawn": 'start = "spawn"\n',
    "command": (
        f'program = "command"\ncommand = ["{sys.executable}", "-c", "import json, sys; sys.path.insert(0, '
        "'{project}'); from src.program import run; import os; "
        "data = json.load(open(os.environ['INPUT_DIRECTORY'] + '/data.json')); "
        "print('PlanQK:Job:Result:', json.dumps(run(data, {})))\"]\n"
    ),
}


@pytest.fixture(params=WAYS)
def way(request):
    return WAYS[request.param]


@pytest.fixture
def below_tmp():
    """A folder of the host's /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder).resolve()


@pytest.fixture(params=["/tmp", "/dev/shm"])
def covered(request):
    """A folder below what is covered."""
    with tempfile.TemporaryDirectory(dir=request.param) as folder:
        yield Path(folder).resolve()


def project(folder: Path, program: str, toml: str) -> Path:
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "__init__.py").touch()
    (folder / "src" / "program.py").write_text(program)
    (folder / "treadle.toml").write_text(f'name = "service"\n{toml}')
    return folder


class OfHost:
    """What programs of one test may leave on the host, by a name and a key of its own."""

    def __init__(self) -> None:
        self.name, self.key = f"treadle-test-{os.getpid()}", 0x7EAD0000 | os.getpid() & 0xFFFF

    def files(self) -> list[Path]:
        return [each for place in ("/tmp", "/dev/shm") for each in Path(place).glob(f"{self.name}*")]

    def remove(self) -> bool:
        """Remove what there is; return whether there was a segment of System V."""
        for each in self.files():
            each.unlink()
        removed = subprocess.run(["ipcrm", "-M", hex(self.key)], capture_output=True, check=False)
        return removed.returncode == 0


@pytest.fixture
def of_host():
    left = OfHost()
    yield left
    left.remove()


def test_what_a_program_leaves_is_seen_by_no_other_one(serve, tmp_path, way, of_host):
    server = serve(project(tmp_path / "project", LEAVES, way))
    for _ in range(3):
        job = server.submit({"name": of_host.name, "key": of_host.key})
        assert server.result(job) == [False, False, False, []]
    assert of_host.files() == []
    assert not of_host.remove()


TELLS = """
import os, tempfile
def run(data, params):
    folder = tempfile.gettempdir()
    return [folder, os.stat(folder).st_dev, os.stat(folder).st_mode & 0o7777, os.path.exists(data["path"])]
"""


def test_it_is_on_the_spool_s_disk_and_its_name_is_short(serve, tmp_path, way, below_tmp):
    (below_tmp / "file").touch()
    server = serve(project(tmp_path / "project", TELLS, way))
    told = server.result(server.submit({"path": str(below_tmp / "file")}))
    assert told == ["/tmp", server.spool.stat().st_dev, 0o1777, False]


def test_a_service_may_have_that_of_the_host(serve, tmp_path, way, below_tmp):
    (below_tmp / "file").touch()
    server = serve(project(tmp_path / "project", TELLS, f'{way}tmp = "host"\n'))
    told = server.result(server.submit({"path": str(below_tmp / "file")}))
    assert told == ["/tmp", Path("/tmp").stat().st_dev, Path("/tmp").stat().st_mode & 0o7777, True]


SPREADS = """
import multiprocessing
def double(x):
    return 2 * x
def run(data, params):
    context = multiprocessing.get_context(data["method"])
    with context.Manager() as manager:
        shared = manager.list([1])
        with context.Pool(2) as pool:
            return pool.map(double, [1, 2]) + list(shared)
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("contain", ["auto", "subreaper"])
def test_sockets_have_room_for_their_names_below_a_long_spool(serve_at, tmp_path, method, contain):
    config = tmp_path / "engine.toml"
    config.write_text(f'[plugins.python-template]\ncontain = "{contain}"\n')
    long = tmp_path / ("l" * 60) / ("m" * 60)
    long.mkdir(parents=True)
    server = serve_at(long, project(tmp_path / "project", SPREADS, ""), "--config", config)
    assert server.result(server.submit({"method": method})) == [2, 4, 1]


USES_ITS_OWN = """
import os, pathlib, subprocess, sys
import helper
def run(data, params):
    child = subprocess.run([sys.executable, "-c", "import helper; print(helper.VALUE)"], capture_output=True)
    here = pathlib.Path(__file__).parents[1]
    (here / "written").write_text("x")
    return [helper.VALUE, child.stdout.decode(), sys.prefix, os.listdir(data["spool"])]
"""


def test_a_project_and_its_environment_may_lie_below_tmp(serve_at, covered, way):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", covered / "venv"], check=True)
    (packages,) = (covered / "venv" / "lib").glob("*/site-packages")
    (packages / "helper.py").write_text("VALUE = 1\n")
    way = way.replace(sys.executable, str(covered / "venv" / "bin" / "python"))
    if "command" not in way:
        way += f'python = "{covered / "venv"}"\n'
    folder = project(covered / "project", USES_ITS_OWN, way)
    server = serve_at(covered, folder)
    for _ in range(2):
        result = server.result(server.submit({"spool": str(server.spool)}))
        # What the program was given lies in the spool: only the way to that is there.
        assert result[:3] == [1, "1\n", str(covered / "venv")]
        assert set(result[3]) <= {"run", "tmp"}
    assert (folder / "written").read_text() == "x"


def test_an_executable_below_tmp_has_what_is_beside_it(serve, tmp_path, covered):
    for each in ("bin", "share"):
        (covered / "tool" / each).mkdir(parents=True)
    tool = covered / "tool" / "bin" / "tool"
    tool.write_text('#!/bin/sh\necho "PlanQK:Job:Result: $(cat "$(dirname "$0")/../share/value")"\n')
    tool.chmod(0o755)
    (covered / "tool" / "share" / "value").write_text("7")
    server = serve(project(tmp_path / "project", "", f'program = "command"\ncommand = ["{tool}"]\n'))
    assert server.result(server.submit()) == 7


LOOKS = """
import os
def run(data, params):
    def listed(path):
        try:
            return os.listdir(path)
        except OSError:
            return []
    return [os.path.exists(os.path.join(data["project"], "treadle.toml")), *map(listed, data["spools"])]
"""


def test_a_spool_in_a_project_below_tmp_stays_hidden(serve_at, covered, way):
    folder = project(covered / "project", LOOKS, way)
    server = serve_at(folder, folder)
    result = server.result(server.submit({"project": str(folder), "spools": [str(server.spool)]}))
    assert result[0]
    assert not {"queue", "done", "engine.lock"} & set(result[1])


def test_a_mount_of_the_spool_in_a_project_below_tmp_stays_hidden(serve, tmp_path, covered, way):
    folder = project(covered / "project", LOOKS, way)
    (mirror := folder / "mirror").mkdir()
    (spool := tmp_path / "spool").mkdir()
    mount = ["mount", "--bind", str(spool), str(mirror)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        server = serve(folder)
        assert (mirror / "queue").exists()
        result = server.result(server.submit({"project": str(folder), "spools": [str(mirror), str(spool)]}))
        assert result[0]
        assert not any({"queue", "done", "engine.lock"} & set(each) for each in result[1:])
    finally:
        subprocess.run(["umount", "--lazy", str(mirror)], check=True)


RUNS_ITS_PYTHON = """
import subprocess, sys
def run(data, params):
    return subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout
"""


def test_links_below_tmp_lead_where_they_lead_at_home(serve, tmp_path, covered, way):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", covered / "real"], check=True)
    (covered / "env").symlink_to(covered / "real")
    way = way.replace(sys.executable, str(covered / "env" / "bin" / "python"))
    if "command" not in way:
        way += f'python = "{covered / "env"}"\n'
    project(tmp_path / "project", RUNS_ITS_PYTHON, way)
    (covered / "link").symlink_to(tmp_path / "project")
    server = serve(covered / "link")
    assert server.result(server.submit()) == "1\n"


FORGETS = """
from multiprocessing import shared_memory
def run(data, params):
    shared_memory.SharedMemory(name=data["name"], create=True, size=4096)
"""


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_without_namespaces_a_tracker_may_remove_what_was_forgotten(serve, tmp_path, way, of_host):
    config = tmp_path / "engine.toml"
    config.write_text('[plugins.python-template]\ncontain = "subreaper"\n')
    server = serve(project(tmp_path / "project", FORGETS, WAYS[way]), "--config", config)
    assert server.ended(server.submit({"name": of_host.name}))["status"] == "SUCCEEDED"
    assert of_host.files() == []


def test_a_large_temporary_file_is_gone_with_its_program(serve, tmp_path):
    program = "def run(data, params):\n    open('/tmp/large', 'wb').write(bytes(50_000_000))\n"
    server = serve(project(tmp_path / "project", program, ""))
    free = shutil.disk_usage(tmp_path).free
    for _ in range(3):
        assert server.ended(server.submit())["status"] == "SUCCEEDED"
    assert [*(server.spool / "tmp").rglob("large")] == []
    assert shutil.disk_usage(tmp_path).free > free - 500_000_000
