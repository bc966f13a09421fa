"""The input files of a program in /var/input: the bytes that the client sent."""

from __future__ import annotations

from treadle import Attempt, Descriptor

_EMPTY_OBJECT = b"{}"


def write_inputs(attempt: Attempt) -> None:
    """Write data.json and params.json: always valid JSON, and readable for every user of the container."""
    job = Descriptor.from_json(attempt.descriptor.read_bytes())
    attempt.input.mkdir(exist_ok=True)
    attempt.input.chmod(0o755)
    for name, payload in (("data", job.data), ("params", job.params)):
        path = attempt.input / f"{name}.json"
        path.write_bytes(bytes(payload) or _EMPTY_OBJECT)
        path.chmod(0o644)
