"""The same shell script as a service of each runtime."""

from __future__ import annotations

import json
from pathlib import Path

from tests.images import IMAGE

_PROGRAM = """
import json, os, subprocess, sys

SCRIPT = {script}

def run(data, params):
    for name, value in (('data', data), ('params', params)):
        with open(name + '.json', 'w') as file:
            json.dump(value, file, separators=(',', ':'))
    sys.stdout.flush()
    code = subprocess.run(['/bin/sh', '-c', SCRIPT], env={{**os.environ, 'INPUT': os.getcwd()}}).returncode
    if code:
        os._exit(code if code > 0 else 128 - code)
"""


def script_project(folder: Path, runtime: str, script: str, toml: str = "") -> Path:
    """Write a service that runs a script, which finds its input in $INPUT, and return its folder."""
    folder.mkdir(parents=True)
    if runtime == "python":
        (folder / "src").mkdir()
        (folder / "src" / "__init__.py").touch()
        (folder / "src" / "program.py").write_text(_PROGRAM.format(script=repr(script)))
    else:
        command = json.dumps(["/bin/sh", "-c", script])
        lines = [f'runtime = "{runtime}"', f'image = "{IMAGE}"', f"command = {command}"]
        head, _, environment = toml.partition("[environment]\n")
        toml = "\n".join([*lines, head, "[environment]", 'INPUT = "/var/input"', environment])
    (folder / "treadle.toml").write_text(f"{toml}\n" if "name =" in toml else f'name = "script"\n{toml}\n')
    return folder
