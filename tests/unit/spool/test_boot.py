from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from treadle import boot, is_this_boot

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
TELL = "from treadle import boot, is_this_boot; import sys; print(boot(), is_this_boot(sys.argv[1]))"


def told_in(*around: str) -> list[str]:
    """Return the boot that a process told, and whether it took this one's for its own."""
    command = [*around, sys.executable, "-c", TELL, boot()]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0 and around:
        pytest.skip(f"not permitted here: {ran.stderr}")
    return ran.stdout.split()


def test_another_process_of_this_boot_tells_the_same():
    assert told_in() == [boot(), "True"]
    assert boot().startswith(BOOT_ID.read_text().strip() + "/")


def test_a_boot_id_alone_is_understood_as_an_earlier_version_wrote_it():
    assert is_this_boot(BOOT_ID.read_text().strip())


@pytest.mark.parametrize("other", ["", "/", "x", "x/1-2", "another/4026531836"])
def test_anything_else_is_another_boot(other):
    assert not is_this_boot(other)


def test_another_boot_id_with_the_same_namespace_is_another_boot():
    _, _, namespace = boot().partition("/")
    assert not is_this_boot(f"00000000-0000-0000-0000-000000000000/{namespace}")


def test_a_namespace_whose_inode_is_used_again_began_at_another_time():
    before, dash, start = boot().rpartition("-")
    assert Path("/proc/1/stat").read_text().rpartition(")")[2].split()[19] == start
    assert is_this_boot(before)
    assert not is_this_boot(f"{before}{dash}{int(start) + 1}")


def test_a_pid_namespace_is_a_boot_of_its_own():
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare on this host")
    namespace = ["unshare", "--pid", "--mount-proc", "--fork"]
    (first, this), (second, that) = [told_in(*namespace) for _ in range(2)]
    assert (this, that) == ("False", "False")
    assert first != second
