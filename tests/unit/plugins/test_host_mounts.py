from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.unit.plugins.on_host import PythonOnHost
from treadle_python import host_mounts
from treadle_python.host_mounts import follows_unmounts

HEAD = "24 1 254:0 / / rw,relatime"


@pytest.mark.parametrize(
    ("line", "follows"),
    [
        (f"{HEAD} shared:1 - ext4 /dev/vda rw", True),
        (f"{HEAD} shared:1 master:2 - ext4 /dev/vda rw", True),
        (f"{HEAD} - ext4 /dev/vda rw", False),
        (f"{HEAD} master:2 - ext4 /dev/vda rw", False),
        ("", True),
    ],
)
def test_a_shared_root_passes_unmounts_on(tmp_path, line, follows):
    (tmp_path / "mountinfo").write_text(f"{line}\n" if line else "")
    assert follows_unmounts(tmp_path / "mountinfo") is follows


@pytest.mark.parametrize("propagation", ["shared", "private"])
def test_what_the_kernel_shows_is_understood(propagation):
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare on this host")
    code = "from treadle_python.host_mounts import follows_unmounts; print(follows_unmounts())"
    command = ["unshare", "--mount", f"--propagation={propagation}", sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if "unshare" in ran.stderr:
        pytest.skip(f"not permitted here: {ran.stderr}")
    assert ran.stdout == f"{propagation == 'shared'}\n"


@pytest.mark.parametrize("follows", [True, False])
async def test_the_doctor_says_what_to_do_where_jobs_keep_mounts_busy(monkeypatch, follows):
    monkeypatch.setattr(host_mounts, "follows_unmounts", lambda: follows)
    diagnosis = await PythonOnHost().diagnose()
    assert diagnosis.works
    assert ("mount --make-rshared /" in diagnosis.remedy) is not follows
    assert ("busy" in diagnosis.detail) is not follows
