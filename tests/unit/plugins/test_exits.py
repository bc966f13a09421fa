"""Which recorded exits count: by boot, by durability, and by the size of what they tell of."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.unit.plugins.on_host import PythonOnHost
from treadle import Attempt, Reason, Service, boot
from treadle.testing import make_attempt, until
from treadle_python.exits import recorded_exit
from treadle_python.supervisor_handle import SupervisorHandle

PLAIN = "exit-code-0-1700000000000-returned-2"
ANOTHER = "00000000-0000-0000-0000-000000000000/1-1"


@pytest.fixture
def attempt(tmp_path):
    return make_attempt(tmp_path, service=Service("test", tmp_path), data=b"{}")


def end(attempt: Attempt, *names: str, boot: str | None, result: bytes = b"42") -> None:
    """Write what a supervisor leaves that has ended."""
    identity = {"pid": 1, "started": 1, "boot": boot, "kind": "namespace"}
    content = b"" if boot is None else json.dumps(identity).encode()
    (attempt.folder / "process.json").write_bytes(content)
    for name in names:
        os.link(attempt.folder / "process.json", attempt.folder / name)
    (attempt.folder / "returned.json").write_bytes(result)


@pytest.mark.parametrize(
    ("names", "recorded", "reason"),
    [
        ([PLAIN], boot(), Reason.ENDED),
        ([PLAIN], boot().partition("/")[0], Reason.ENDED),
        (["exit-code-0-1700000000000-returned"], boot(), Reason.ENDED),
        ([PLAIN], ANOTHER, Reason.LOST),
        ([PLAIN], None, Reason.LOST),
        (["exit-code-0-1700000000000-returned"], ANOTHER, Reason.LOST),
        ([f"{PLAIN}-synced"], ANOTHER, Reason.ENDED),
        ([f"{PLAIN}-synced"], None, Reason.ENDED),
        ([PLAIN, f"{PLAIN}-synced"], ANOTHER, Reason.ENDED),
        ([PLAIN, f"{PLAIN}-synced"], boot(), Reason.ENDED),
    ],
)
async def test_an_exit_counts_under_its_own_boot_or_if_it_is_durable(attempt, names, recorded, reason):
    end(attempt, *names, boot=recorded)
    exit_ = await PythonOnHost().wait(attempt)
    assert exit_.reason is reason
    assert reason is Reason.ENDED or exit_.detail == "the host was restarted before its end was on the disk"


@pytest.mark.parametrize("name", [PLAIN, f"{PLAIN}-synced"])
@pytest.mark.parametrize("recorded", [boot(), ANOTHER], ids=["this boot", "another boot"])
@pytest.mark.parametrize("result", [b"", b"4", b"422"])
def test_an_exit_whose_result_has_another_size_is_not_believed(attempt, name, recorded, result):
    end(attempt, name, boot=recorded, result=result)
    assert recorded_exit(attempt).reason is Reason.LOST


@pytest.mark.parametrize("name", ["exit-code-0-99999999999999999999", "exit-code-0-999999999999999999"])
def test_a_name_that_no_supervisor_writes_is_no_exit(attempt, name):
    end(attempt, name, boot=boot())
    assert recorded_exit(attempt) is None


@pytest.mark.parametrize(
    ("options", "detail", "unwritten"),
    [
        ("-returned-2-unwritten5", "its output could not be written to the disk: Input/output error", True),
        ("-unwritten28", "its output could not be written to the disk: No space left on device", True),
        ("-cut", "its output was cut at 1073741824 bytes", False),
    ],
)
def test_what_became_of_the_output_is_told(attempt, options, detail, unwritten):
    end(attempt, f"exit-code-0-1700000000000{options}", boot=boot())
    exit_ = recorded_exit(attempt)
    assert (exit_.detail, exit_.failed, exit_.unwritten) == (detail, False, unwritten)


async def test_an_attempt_under_another_boot_without_an_end_is_lost(attempt):
    end(attempt, boot=ANOTHER)
    assert (await PythonOnHost().wait(attempt)).reason is Reason.LOST


PLACED = {
    "fifo": os.mkfifo,
    "folder": os.mkdir,
    "link to a device": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": lambda path: path.symlink_to(path),
    "link to an identity": lambda path: path.symlink_to(path.parents[2] / "identity"),
    "empty": lambda path: path.touch(),
}


@pytest.mark.parametrize("kind", PLACED)
async def test_whatever_is_in_the_place_of_process_json_is_read_without_blocking(attempt, kind, tmp_path):
    (tmp_path / "identity").write_text(json.dumps({"pid": 1, "started": 1, "boot": boot(), "kind": ""}))
    PLACED[kind](attempt.folder / "process.json")
    assert SupervisorHandle.of(attempt.folder) == SupervisorHandle()
    assert (await PythonOnHost().wait(attempt)).reason is Reason.LOST


FORGER = """
import os, signal, time
def run():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    open(os.path.join(os.environ['FOLDER'], 'exit-code-0-1'), 'w').close()
    print('ready')
    time.sleep(600)
"""
MOVER = """
import os, time
def run():
    print('ready')
    while not os.path.exists(os.path.join(os.environ['FOLDER'], 'stdout.log')):
        time.sleep(0.01)
    os.rename(os.environ['FOLDER'], os.environ['FOLDER'] + '-moved')
    time.sleep(600)
"""


@pytest.fixture
def hostile(tmp_path):
    """Return the runtime and an attempt of a program that no mount namespace keeps out of its own folder."""

    def make(program: str) -> tuple[PythonOnHost, Attempt]:
        source = tmp_path / "project" / "src"
        source.mkdir(parents=True)
        (source / "program.py").write_text(program)
        folder = tmp_path / "run" / "job"
        service = Service(
            "test", tmp_path / "project", environment={"FOLDER": str(folder)}, options={"start": "spawn"}
        )
        return PythonOnHost("subreaper"), make_attempt(tmp_path, service=service)

    return make


async def begun(runtime: PythonOnHost, attempt: Attempt, folder: Path) -> int:
    """Start the attempt, wait for its word in this folder, and return its supervisor's pid."""
    await runtime.start(attempt)
    log = folder / "stdout.log"
    await until(lambda: log.exists() and log.read_bytes() == b"ready\n")
    return int(json.loads((folder / "process.json").read_bytes())["pid"])


@pytest.mark.parametrize("adopted", [False, True])
async def test_an_exit_that_a_program_writes_makes_it_not_immune_to_a_stop(hostile, adopted):
    runtime, attempt = hostile(FORGER)
    await begun(runtime, attempt, attempt.folder)
    if adopted:
        await runtime.close()
        runtime = PythonOnHost("subreaper")
    with SupervisorHandle.of(attempt.folder).pidfd() as pidfd:
        assert pidfd is not None
        await runtime.stop(attempt, 0.1)
        exit_ = await runtime.wait(attempt)
        assert adopted or exit_.signal == 9
    await runtime.cleanup(attempt)
    await until(lambda: not alive(attempt))


def alive(attempt: Attempt) -> bool:
    with SupervisorHandle.of(attempt.folder).pidfd() as pidfd:
        return pidfd is not None


async def test_a_program_that_moves_its_folder_away_is_stopped(hostile):
    runtime, attempt = hostile(MOVER)
    pid = await begun(runtime, attempt, attempt.folder.with_name("job-moved"))
    await runtime.stop(attempt, 0.1)
    assert (await runtime.wait(attempt)).signal == 15
    await runtime.cleanup(attempt)
    await until(lambda: not Path(f"/proc/{pid}").exists())


@pytest.mark.parametrize("kind", ["fifo", "folder", "link to itself", "link elsewhere"])
async def test_what_a_program_puts_in_the_place_of_its_log_is_not_written_to(hostile, kind, tmp_path):
    (elsewhere := tmp_path / "elsewhere").touch()
    place = {
        "fifo": "os.mkfifo(path)",
        "folder": "os.mkdir(path)",
        "link to itself": "os.symlink(path, path)",
        "link elsewhere": f"os.symlink({str(elsewhere)!r}, path)",
    }[kind]
    runtime, attempt = hostile(
        f"import os\ndef run():\n    path = os.path.join(os.environ['FOLDER'], 'stdout.log')\n    {place}\n"
        "    print('printed')\n    return 1\n"
    )
    await runtime.start(attempt)
    exit_ = await runtime.wait(attempt)
    assert (exit_.code, exit_.failed) == (0, False)
    assert "its output could not be written to the disk" in exit_.detail
    assert elsewhere.read_bytes() == b""


FORGETFUL = """
import os, time
def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
def run():
    folder = os.environ["FOLDER"]
    starts = os.path.join(os.path.dirname(os.path.dirname(folder)), "starts")
    with open(starts, "a+") as file:
        file.seek(0)
        alive = [pid for pid in file.read().split() if lives(pid)]
        file.write(f"{os.getpid()}\\n")
    os.unlink(os.path.join(folder, "process.json"))
    print("alive:", *alive, flush=True)
    time.sleep(30)
"""


async def test_an_attempt_without_its_identity_is_not_started_beside_itself(hostile, tmp_path):
    runtime, attempt = hostile(FORGETFUL)
    log = attempt.folder / "stdout.log"
    await runtime.start(attempt)
    await until(lambda: log.exists() and log.read_bytes() == b"alive:\n")
    await runtime.start(attempt)  # as after a transient error
    await runtime.close()
    assert not (attempt.folder / "process.json").exists()
    later = PythonOnHost("subreaper")
    await later.start(attempt)
    await until(lambda: log.read_bytes() == b"alive:\nalive:\n")
    await later.stop(attempt, 0)
    assert len((tmp_path / "starts").read_text().split()) == 2


async def test_an_attempt_that_was_claimed_and_not_started_is_started_by_a_later_engine(hostile):
    _, attempt = hostile("def run():\n    return 1\n")
    later = PythonOnHost("subreaper")
    await later.start(attempt)
    assert (await later.wait(attempt)).returned is not None
    assert not (attempt.folder / "process.json").read_bytes().startswith(b'{"fenced')
