"""Whether bytes are JSON: for output parsers, to which a program may print hundreds of MB.

A decoder holds the interpreter until its end, 5 ms for each MB, and no thread helps. So a large text is
checked by a process. This file is its program as well, so it imports the decoder and nothing of ours.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import msgspec

_LARGE = 2 * 1024 * 1024
"""Bytes of a text from which a process checks it; that takes 60 ms to start."""


def json_fault(raw: bytes) -> str | None:
    """Return why bytes are not a JSON text (RFC 8259), or None if they are.

    For output parsers. A large text is checked by a process, if there is one to be had: this blocks then.
    """
    if len(raw) > _LARGE:
        with suppress(OSError):
            command = [sys.executable, "-P", __file__]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write(raw)  # by one system call; `communicate` makes one for each 4 KiB
                process.stdin.close()
                fault = process.stdout.read()
            if process.returncode == 0:  # otherwise it was killed, for want of memory
                return fault.decode() or None
    return _fault(raw)


def _fault(raw: bytes) -> str | None:
    try:
        if not raw.isascii():  # that is the common case, and costs no copy
            raw.decode()
        msgspec.json.decode(raw, type=msgspec.Raw)
    except UnicodeDecodeError as error:
        return f"byte {error.start} is not UTF-8"
    except RecursionError:
        return "it is nested too deeply"
    except msgspec.DecodeError as error:
        return str(error).removeprefix("JSON is malformed: ")
    return None


if __name__ == "__main__":
    sys.stdout.write(_fault(sys.stdin.buffer.read()) or "")
