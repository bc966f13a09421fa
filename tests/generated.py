"""Generated bodies: near-valid jobs, damaged JSON, odd bytes."""

from __future__ import annotations

import json
import os

from hypothesis import strategies as st

COUNT = int(os.environ.get("TREADLE_FUZZ", "300"))
"""How many are generated."""

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_fields = st.dictionaries(
    st.sampled_from(["data", "params", "dataRef", "priority", "timeout", "labels", "service", "created", "x"])
    | st.text(max_size=6),
    _values,
    max_size=4,
)
_payload = st.dictionaries(st.text(max_size=6), _values, max_size=4)
_whole = st.fixed_dictionaries({}, optional={"data": _payload, "params": _payload})
_json = (_fields | _whole | _values).map(lambda value: json.dumps(value).encode())
_raw_json = (_fields | _whole).map(
    lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(_json))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(raw)))
        raw[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(raw)


_deep = st.tuples(st.sampled_from([b"[", b'{"data":', b'{"a":']), st.integers(1, 3000), st.booleans()).map(
    lambda parts: parts[0] * parts[1] + b"1" + (b"]" if parts[0] == b"[" else b"}") * (parts[1] * parts[2])
)
_numbers = st.integers(1, 6000).map(lambda size: b'{"data": {"n": ' + b"7" * size + b"}}")

bodies = _json | _raw_json | _damaged() | _deep | _numbers | st.binary(max_size=60)
