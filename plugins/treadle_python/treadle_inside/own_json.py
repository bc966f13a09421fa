"""JSON as the standard library does it, whatever a program does to the standard library.

A program may replace json.dumps, or methods of its encoder. So the encoder and the decoder here are copies
that nobody else has, made before code of the service is imported.
"""

from __future__ import annotations

import json
import types

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any


class NotSerialisable(Exception):
    """A value has no JSON form; the message names the value and its path."""


def _copy_of(module: types.ModuleType) -> Any:
    """Return a module of the standard library that nobody else has."""
    copy = types.ModuleType(module.__name__)
    assert module.__spec__ is not None
    code = module.__spec__.loader.get_code(module.__name__)  # type: ignore[union-attr]  # json has a loader
    exec(code, copy.__dict__)  # noqa: S102  # an import does the same
    return copy


def _refuse(constant: str) -> None:
    raise NotSerialisable(f"{constant} is not JSON")


Encoder: Any = _copy_of(json.encoder).JSONEncoder
_Decoder: Any = _copy_of(json.decoder).JSONDecoder


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise NotSerialisable(f"an object has two keys that are both {twin!r}")
    return found


_checking = _Decoder(parse_constant=_refuse, object_pairs_hook=_object)
parse = _Decoder().decode
"""Returns the value of a JSON text; raises ValueError."""


def parse_strictly(text: str) -> Any:
    """Return the value of what a to_json() returned; raise NotSerialisable, without a path."""
    try:
        return _checking.decode(text)
    except NotSerialisable as error:
        raise NotSerialisable(f"in what to_json() returned, {error}") from None
    except (ValueError, RecursionError) as error:
        raise NotSerialisable(f"to_json() returned something that is not JSON: {error}") from None
