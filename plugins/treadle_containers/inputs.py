"""The files a program finds at /var/input: the client's own bytes."""

from __future__ import annotations

from treadle import Attempt, Descriptor

_NOTHING = b"{}"


def write_inputs(attempt: Attempt) -> None:
    """Write data.json and params.json, always valid JSON, readable by whoever the program runs as."""
    job = Descriptor.from_json(attempt.descriptor.read_bytes())
    attempt.input.mkdir(exist_ok=True)
    attempt.input.chmod(0o755)
    for name, payload in (("data", job.data), ("params", job.params)):
        path = attempt.input / f"{name}.json"
        path.write_bytes(bytes(payload) or _NOTHING)
        path.chmod(0o644)
