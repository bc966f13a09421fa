"""What a program reaches from inside a job, where there are namespaces: only what it is given."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests import escapes
from tests.acceptance.server import EXAMPLES, Server
from treadle.testing import eventually
from treadle_python.bootstrap import HERE

GATED = """
import os, time
def run():
    spool = os.path.dirname(os.path.dirname(os.getcwd()))
    print("seen" if os.path.exists(spool + "/queue") else "hidden", flush=True)
    time.sleep(600)
"""
HOSTILE = Path(escapes.__file__).read_text()


def fork_servers() -> list[str]:
    """Return the names of the sockets on which fork servers of this checkout listen."""
    inodes = set()
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(HERE) in command and any("treadle_inside.fork_server" in each for each in command):
            with suppress(OSError):
                files = Path(f"/proc/{process.pid}/fd").iterdir()
                inodes |= {str(file.readlink()).strip("socket:[]") for file in files}
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    return sorted({line[7] for line in lines if line[6] in inodes and line[-1].startswith("@treadle/")})


@pytest.fixture(params=["fork", "spawn"])
def start(request):
    return request.param


@pytest.fixture(params=["python", "command"])
def hostile(request, project, start, tmp_path):
    """Return the project of the hostile program, as a function and as an executable."""
    toml = f'start = "{start}"\n'
    if request.param == "command":
        toml += f'program = "command"\ncommand = ["{sys.executable}", "{{project}}/src/program.py"]\n'
    toml += f'[environment]\nSPOOL = "{tmp_path / "spool"}"\nOUTSIDE = "{tmp_path / "outside"}"\n'
    return project(HOSTILE, toml)


def test_a_hostile_program_reaches_nothing_of_the_spool_or_the_engine(serve, hostile, tmp_path):
    server = serve(hostile)
    server.result(server.submit())
    names = fork_servers()
    assert names or "spawn" in (hostile / "treadle.toml").read_text()
    first = server.result(server.submit({"sockets": names}))
    second = server.result(server.submit({"sockets": names}))  # of a supervisor that has run programs before
    assert {way: found for way, found in first.items() if found != "no"} == {}
    assert second == first
    assert len(first) == len(escapes.WAYS)
    assert not (tmp_path / "outside").exists()
    assert list((server.spool / "run").iterdir()) == []


@pytest.fixture
def loop(tmp_path):
    """Let the spool lie on a disk of its own, in a file; return the device."""
    image, spool = tmp_path / "image", tmp_path / "spool"
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    spool.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(spool)], check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    (spool / "lost+found").rmdir()
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    yield next(device for device, place, *_ in mounts if place == str(spool))
    subprocess.run(["umount", "--lazy", str(spool)], check=True)


def test_the_disk_that_the_spool_lies_on_can_t_be_read_past_the_mounts(loop, serve, project, tmp_path):
    program = f"""
def run():
    return [len(open(path, "rb").read(4096)) for path in ({loop!r}, {str(tmp_path / "image")!r})]
"""
    server = serve(project(program), "--disk-reserve", "0")
    assert server.result(server.submit()) == [0, 0]


def test_another_place_where_the_spool_is_mounted_is_covered_too(serve, project, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    server = serve(project(f"import os\ndef run():\n    return os.listdir({str(elsewhere)!r})\n"))
    assert server.result(server.submit()) == []
    mounted = subprocess.run(["mount", "--bind", str(server.spool), str(elsewhere)], check=False)
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        assert (elsewhere / "queue").exists()
        assert server.result(server.submit()) == []
    finally:
        subprocess.run(["umount", "--lazy", str(elsewhere)], check=True)


def test_the_host_s_own_mounts_are_left_alone(serve, project, tmp_path):
    (tmp_path / "shared").mkdir()
    if (
        subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path / "shared")], check=False).returncode
        != 0
    ):
        pytest.skip("nothing can be mounted here")
    subprocess.run(["mount", "--make-shared", str(tmp_path / "shared")], check=True)
    try:
        server = Server(tmp_path / "shared" / "spool", [str(project(GATED))]).start()
        job = server.submit()
        log = server.spool / "run" / job / "stdout.log"
        eventually(lambda: log.exists() and "hidden" in log.read_text(), "the program's first line")
        assert str(server.spool) not in Path("/proc/self/mountinfo").read_text()
        assert (server.spool / "queue").is_dir()
        server.ask("PUT", f"/{job}/cancel")
        server.ended(job)
        server.stop()
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "shared")], check=True)


def test_a_program_finds_what_it_is_given_in_its_own_place(serve, project, start):
    program = """
import os
def run(data):
    open("file", "w").close()
    spool = os.path.dirname(os.path.dirname(os.getcwd()))
    return [data, os.listdir("."), os.listdir(spool), os.listdir(os.path.dirname(os.getcwd()))]
"""
    server = serve(project(program, f'start = "{start}"\n'))
    data, files, spool, tmp = server.result(server.submit({"n": 1}))
    assert (data, files, spool) == ({"n": 1}, ["file"], ["tmp"])
    assert len(tmp) == 1


def test_a_command_reads_its_input_and_can_t_write_it(serve, project, start):
    script = """
import json, os
folder = os.environ["INPUT_DIRECTORY"]
with open(folder + "/data.json") as file:
    data = json.load(file)
try:
    open(folder + "/data.json", "a")
    written = True
except OSError as error:
    written = error.strerror
print("PlanQK:Job:Result:", json.dumps([data, written, sorted(os.listdir(os.path.dirname(folder)))]))
"""
    command = f'program = "command"\ncommand = ["{sys.executable}", "{{project}}/src/program.py"]\n'
    server = serve(project(script, command + f'start = "{start}"\n'))
    assert server.result(server.submit({"n": 1})) == [{"n": 1}, "Read-only file system", ["input"]]


def test_a_project_and_an_interpreter_in_the_spool_are_given_back(serve, tmp_path):
    serve(EXAMPLES / "sum").stop()
    project = tmp_path / "spool" / "projects" / "service"
    (project / "src").mkdir(parents=True)
    (project / "src" / "__init__.py").touch()
    (project / "src" / "helper.py").write_text("VALUE = 7\n")
    (project / "src" / "program.py").write_text(
        "import os\n"
        "def run():\n"
        "    from .helper import VALUE\n"
        "    open(os.path.dirname(__file__) + '/written', 'w').close()\n"
        "    return [VALUE, sorted(os.listdir(os.environ['SPOOL']))]\n"
    )
    (project / "planqk.json").write_text(json.dumps({"name": "service", "runtime": "PYTHON_TEMPLATE"}))
    (project / "treadle.toml").write_text(f'[environment]\nSPOOL = "{tmp_path / "spool"}"\n')
    server = serve(project)
    assert server.result(server.submit()) == [7, ["projects", "tmp"]]
    assert (project / "src" / "written").exists()


def test_a_program_s_flood_of_signals_does_not_save_it_from_a_cancel(serve, project, start):
    program = """
import os, signal
def run():
    parent = os.getppid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        os.kill(parent, number)
    print("alive", flush=True)
    while True:
        os.kill(parent, signal.SIGTERM)
"""
    server = serve(project(program, f'start = "{start}"\n'))
    job = server.submit()
    log = server.spool / "run" / job / "stdout.log"
    eventually(lambda: log.exists() and "alive" in log.read_text(), "the program's first line")
    server.ask("PUT", f"/{job}/cancel")
    assert server.ended(job)["status"] == "CANCELLED"


def test_a_command_that_can_t_be_executed_is_reported(serve, project, start):
    toml = f'start = "{start}"\nprogram = "command"\ncommand = ["./src/program.py"]\n'
    folder = project("no script\n", toml)
    (folder / "src" / "program.py").chmod(0o755)
    (folder / "src" / "program.py").write_text("#!/no/such/interpreter\n")
    server = serve(folder)
    result = server.result(server.submit())
    assert result["code"] == "COMMAND_NOT_STARTED"
