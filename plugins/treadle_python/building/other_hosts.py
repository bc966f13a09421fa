"""pip for another host: `pip download` chooses wheels for it, but takes the markers of its own Python.

So what `tomli; python_version < "3.11"` requires would be missing for a host with Python 3.10, and wheels for
Windows would come from the markers of Linux. pip has no option for it: the function that tells the markers is
replaced in the process of that pip, before it begins.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

_RUN = """
import sys
sys.path[:1] = [path for path in sys.path[:1] if path]
import json, runpy
from pip._vendor.packaging import markers
own, other = markers.default_environment, json.loads(sys.argv.pop(1))
markers.default_environment = lambda: {**own(), **other}
runpy.run_module("pip", run_name="__main__", alter_sys=True)
"""
"""The folder that it runs in is the project, whose modules it must not import."""
_MACHINE = re.compile(r"(?:manylinux\d+|(?:manylinux|musllinux|macosx)_\d+_\d+|linux)_(\w+)")
_WINDOWS = {"win32": "x86", "win_amd64": "AMD64", "win_arm64": "ARM64"}


def pip_as_on(pip: tuple[str | Path, ...], version: str, tag: str) -> tuple[str | Path, ...]:
    """Return a command of pip, `<python> -m pip`, that evaluates markers as on a host with another Python."""
    return (pip[0], "-c", _RUN, json.dumps(markers_of(version, tag)))


def markers_of(version: str, tag: str) -> dict[str, str]:
    """Return the markers of CPython of a version on the platform of a wheel's tag.

    Where only a minor version is named, they are those of its first release, which needs the most.
    """
    numbers = version.split(".")
    full = ".".join([*numbers, "0"][:3])
    return {
        "python_version": ".".join(numbers[:2]),
        "python_full_version": full,
        "implementation_name": "cpython",
        "implementation_version": full,
        "platform_python_implementation": "CPython",
        **_of_platform(tag),
    }


def _of_platform(tag: str) -> dict[str, str]:
    if (machine := _WINDOWS.get(tag)) is not None:
        system, name, kind = "win32", "Windows", "nt"
    else:
        found = _MACHINE.fullmatch(tag)
        machine = found[1] if found else ""
        mac = tag.startswith("macosx")
        system, name, kind = ("darwin", "Darwin", "posix") if mac else ("linux", "Linux", "posix")
    machines = {"platform_machine": machine} if machine else {}
    return {"sys_platform": system, "platform_system": name, "os_name": kind, **machines}
