"""Packages that tests install: wheels written by hand, and sources whose build waits. No index is needed."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from zipfile import ZipFile


def make_wheel(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    requires: tuple[str, ...] = (),
    tag: str = "py3-none-any",
) -> Path:
    """Write a wheel with one module, whose VERSION is its version, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},{_hash(content)},{len(content)}\n" for path, content in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n"
    wheel = folder / f"{name}-{version}-{tag}.whl"
    with ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return wheel


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


_BACKEND = """
import os, shutil, time
from pathlib import Path

PLACE = Path(__file__).parent

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    (PLACE / "begun").write_text(str(os.getpid()))
    while not (PLACE / "go").exists():
        time.sleep(0.01)
    (wheel,) = PLACE.glob("*.whl")
    shutil.copy(wheel, wheel_directory)
    return wheel.name
"""


def make_waiting_package(folder: Path, name: str) -> Path:
    """Write a package whose build says that it has `begun`, with its pid, and waits for the file `go`."""
    make_wheel(folder, name)
    (folder / "backend.py").write_text(_BACKEND)
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        f'[project]\nname = "{name}"\nversion = "1.0"\n'
    )
    return folder
