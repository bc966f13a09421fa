"""The JSON Schemas of the spool's files, made from their structs: `python -m treadle_spool.schemas FOLDER`.

`make schemas` writes them beside FORMAT.md, and a test compares them. They are in the 2020-12 dialect.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from treadle_spool.descriptor import Descriptor, Moment
from treadle_spool.status import FORMAT, State, Status

DRAFT202012 = "https://json-schema.org/draft/2020-12/schema"
_ENDED = {"enum": [state.value for state in State if state.ended]}


class _EndedStatus(Status, frozen=True, kw_only=True):
    """A status in done/: the job has ended."""

    status: Annotated[Any, msgspec.Meta(extra_json_schema=_ENDED)]
    ended: Annotated[Moment, msgspec.Meta(description="When its last attempt ended.")]


_HEADS: Mapping[type[msgspec.Struct], Mapping[str, str]] = {
    Descriptor: {
        "$id": f"urn:treadle:spool:{FORMAT}:descriptor",
        "title": "Job descriptor",
        "description": "What a client asks for: drop/<name>.json and queue/<id>.json.",
    },
    _EndedStatus: {
        "$id": f"urn:treadle:spool:{FORMAT}:status",
        "title": "Job status",
        "description": "How a job ended: done/<id>/status.json. All times are RFC 3339 in UTC.",
    },
}


def schemas() -> dict[str, bytes]:
    """Return the content of each schema file, by its name."""
    return {f"{head['$id'].rpartition(':')[2]}.schema.json": _dump(kind) for kind, head in _HEADS.items()}


def _dump(kind: type[msgspec.Struct]) -> bytes:
    parts: dict[str, dict[str, Any]] = msgspec.json.schema(kind)["$defs"]
    for part in parts.values():
        part["description"] = part.pop("description").partition("\n")[0]
    own = parts.pop(kind.__name__)
    own["properties"] = {**{name: own["properties"][name] for name in own["required"]}, **own["properties"]}
    schema = {"$schema": DRAFT202012, **own, **_HEADS[kind], "$defs": parts}
    return json.dumps(schema, indent=2).encode() + b"\n"


if __name__ == "__main__":
    for file, content in schemas().items():
        Path(sys.argv[1], file).write_bytes(content)
