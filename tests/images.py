"""Images for tests, made of what the host has: no registry is needed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
from pathlib import Path

IMAGE = "localhost/treadle-test"
"""An image with busybox and nothing else."""

_BUSYBOX = "/bin/busybox"


def busybox_tree(folder: Path) -> Path:
    """Make a root file system of a static busybox, with all its commands."""
    (folder / "bin").mkdir(parents=True)
    for name in ("tmp", "proc", "sys", "dev", "var"):
        (folder / name).mkdir()
    (folder / "tmp").chmod(0o1777)
    shutil.copy(_BUSYBOX, folder / "bin" / "busybox")
    listed = subprocess.run([_BUSYBOX, "--list"], capture_output=True, text=True, check=True)
    for command in listed.stdout.split():
        if command != "busybox":
            (folder / "bin" / command).symlink_to("busybox")
    return folder


def import_image(engine: str) -> None:
    """Make IMAGE known to an engine, by its own client; raise RuntimeError with what that says."""
    if not Path(_BUSYBOX).exists():
        raise RuntimeError("there is no static busybox on this host (Debian: busybox-static)")
    with tempfile.TemporaryDirectory() as folder:
        tree = busybox_tree(Path(folder) / "root")
        archive = Path(folder) / "root.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(tree, ".", filter=_of_root)
        command = [client(engine), "import", str(archive), IMAGE]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise RuntimeError(ran.stderr.strip())


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Give a file to root, whoever runs the tests."""
    member.uid = member.gid = 0
    return member


def reach_service(engine: str) -> None:
    """Raise OSError unless the engine's service listens: Podman's client also works without one."""
    if engine == "podman":
        url = os.environ.get("CONTAINER_HOST", "unix:///run/podman/podman.sock")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(url.removeprefix("unix://"))


def client(engine: str) -> str:
    """Return the engine's own client on this host."""
    return os.environ.get("TREADLE_PODMAN", "podman") if engine == "podman" else "docker"
