"""The jobs of an engine that is not root: its programs are confined too, by a user namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import escapes

NOBODY = 65534
SEES_THE_INTERPRETER = """
set -e
mount --bind "$1" /mnt
mount -t tmpfs -o mode=755 none "$2"
mkdir -p "$1"
mount --move /mnt "$1" 2>/dev/null || mount --bind /mnt "$1"
"""
MASKED_PROC = """
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
"""
BECOME_NOBODY = f"""
shift 2
exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups "$@"
"""


@pytest.fixture(params=["own /proc", "masked /proc"])
def as_nobody(request):
    """Return a prefix of a command that executes it as an ordinary user, who can read our interpreter.

    Where /proc is masked, as in a container, the kernel refuses a program a /proc of its own.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    home, real = Path.home(), Path(sys.base_prefix)
    script = "true"
    if real.is_relative_to(home):
        script = SEES_THE_INTERPRETER
    if request.param == "masked /proc":
        script += MASKED_PROC
    prefix = ["unshare", "--mount", "sh", "-c", script + BECOME_NOBODY, "sh", str(real), str(home)]
    works = subprocess.run([*prefix, "unshare", "--user", "--pid", "--fork", "true"], check=False)
    if works.returncode != 0:
        pytest.skip("this host permits no namespaces to ordinary users")
    return prefix


@pytest.fixture
def of_nobody(tmp_path):
    """Return a folder that an ordinary user can reach and write to."""
    for folder in (tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    os.chown(tmp_path, NOBODY, NOBODY)
    return tmp_path


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_hostile_program_reaches_nothing_either(as_nobody, of_nobody, project, start):
    (project / "src" / "program.py").write_text(Path(escapes.__file__).read_text())
    given = [f"SPOOL={of_nobody / 'spool'}", f"OUTSIDE={of_nobody / 'outside'}"]
    command = [
        sys.executable,
        "-m",
        "tests.unit.plugins.run_one",
        str(of_nobody),
        str(project),
        start,
        *given,
    ]
    ran = subprocess.run([*as_nobody, *command], capture_output=True, check=False)
    assert ran.stderr == b""
    found = json.loads(ran.stdout)
    assert {way: answer for way, answer in found.items() if answer != "no"} == {}
    identity = json.loads((of_nobody / "spool" / "run" / "job" / "process.json").read_bytes())
    assert identity["kind"] == "namespace"


def test_a_program_has_its_user_and_none_of_the_capabilities_of_its_namespace(as_nobody, of_nobody, project):
    (project / "src" / "program.py").write_text(
        "import os\n"
        "def run():\n"
        "    status = open('/proc/self/status').read().splitlines()\n"
        "    return [os.getuid(), [line.split()[1] for line in status if line.startswith('CapEff')]]\n"
    )
    command = [sys.executable, "-m", "tests.unit.plugins.run_one", str(of_nobody), str(project)]
    ran = subprocess.run([*as_nobody, *command], capture_output=True, check=False)
    assert (ran.stderr, json.loads(ran.stdout)) == (b"", [NOBODY, ["0000000000000000"]])


def test_the_oom_killer_takes_a_program_first(as_nobody, of_nobody, project):
    """Its supervisor is undumpable, so the file is not its own."""
    (project / "src" / "program.py").write_text(
        "def run():\n    return int(open('/proc/self/oom_score_adj').read())\n"
    )
    command = [sys.executable, "-m", "tests.unit.plugins.run_one", str(of_nobody), str(project)]
    ran = subprocess.run([*as_nobody, *command], capture_output=True, check=False)
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert (ran.stderr, json.loads(ran.stdout)) == (b"", min(max(own, 0) + 500, 1000))
