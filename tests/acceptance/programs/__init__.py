"""Programs of each kind that does something at its end, or by other means than Python's own.

Each is the text of a module with `run(data, params)`. `data["folder"]` is a folder that it may leave files
in, `data["native"]` the one with the libraries of native.py. What it prints, leaves and returns is the same
in each run of it, but for the addresses of objects; and it does not look at its process id, its arguments
and its working folder.
"""

from __future__ import annotations

from tests.acceptance.programs import asynchronous, ends, files, libraries, native, processes, streams, values

KINDS = (streams, ends, files, asynchronous, processes, values, libraries, native)
PROGRAMS: dict[str, str] = {name: program for kind in KINDS for name, program in kind.PROGRAMS.items()}
assert len(PROGRAMS) == sum(len(kind.PROGRAMS) for kind in KINDS), "two programs have the same name"
