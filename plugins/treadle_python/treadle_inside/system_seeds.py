"""The random generators of preloaded modules that have taken their seed from the system.

Each program has a copy of them, and all copies would give the same numbers. So those that nobody has seeded
are seeded anew in each program; one with a seed of its own, such as default_rng(42), stays as it is. Which
are which is seen while the modules are imported: the functions are watched that ask the system for a seed.
"""

from __future__ import annotations

import contextlib
import gc
import random
import secrets
import sys
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:  # importing typing would cost every job some milliseconds
    from typing import Any, Self

_LEAST_OF_SYSTEM = 2**32
"""PyTorch's own seed has 64 bits; a smaller one was most likely given by somebody."""


class _Unseeded:
    """The generators of Python whose seed is the system's; they may be of any class, equal or not."""

    def __init__(self) -> None:
        self._generators: dict[int, weakref.ref[random.Random]] = {}

    def add(self, generator: random.Random) -> None:
        self._generators[id(generator)] = weakref.ref(generator)

    def discard(self, generator: random.Random) -> None:
        self._generators.pop(id(generator), None)

    def there(self) -> list[random.Random]:
        """Return those that there are still."""
        return [each for ref in self._generators.values() if (each := ref()) is not None]


class SystemSeeds:
    """What a server's preloaded modules have, imported within the `with` block."""

    def __init__(self) -> None:
        self._randbits: Any = secrets.randbits
        self._method: Any = random.Random.seed
        self._set: Any = random.Random.setstate
        self._functions: Any = random.seed, random.setstate
        self._bits: set[int] = set()
        """What NumPy was given for a seed."""
        self._unseeded = _Unseeded()
        self._state: object = None
        """The state of the module `random`, if it was given a seed."""
        self._given = False
        self._of_numpy: tuple[list[Any], list[Any]] = [], []
        """Its seed sequences, and its bit generators."""
        self._torch = False

    def __enter__(self) -> Self:
        secrets.randbits = self._note_bits
        random.Random.seed = _noting(self._method, self._unseeded)  # type: ignore[method-assign]  # restored below
        random.Random.setstate = _discarding(self._set, self._unseeded)  # type: ignore[method-assign]  # likewise
        random.seed, random.setstate = self._seed, self._set_state
        return self

    def __exit__(self, *_: object) -> None:
        """Take note of the generators that there are now."""
        secrets.randbits = self._randbits
        random.seed, random.setstate = self._functions
        random.Random.seed, random.Random.setstate = self._method, self._set  # type: ignore[method-assign]  # as before
        self._state = random.getstate() if self._given else None
        module: Any = sys.modules.get("numpy.random.bit_generator")
        if self._bits and module is not None:
            objects = gc.get_objects()
            self._of_numpy = (
                [each for each in objects if self._is_of_system(each, module.SeedSequence)],
                [
                    each
                    for each in objects
                    if issubclass(type(each), module.BitGenerator)
                    and self._is_of_system(getattr(each, "_seed_seq", None), module.SeedSequence)
                ],
            )
        torch = sys.modules.get("torch")
        self._torch = torch is not None and torch.initial_seed() >= _LEAST_OF_SYSTEM

    def renew(self) -> None:
        """Seed the generators anew; called in a program's process."""
        for generator in self._unseeded.there():
            generator.seed()
        if self._state is not None:
            random.setstate(self._state)  # type: ignore[arg-type]  # the interpreter has seeded it after the fork
        sequences, generators = self._of_numpy
        for sequence in sequences:
            with contextlib.suppress(Exception):  # only what it spawns later depends on that
                sequence.__setstate_cython__(type(sequence)().__reduce__()[2])
        for generator in generators:
            generator.state = type(generator)().state
        if self._torch:
            sys.modules["torch"].seed()

    def _note_bits(self, k: int) -> int:
        bits: int = self._randbits(k)
        self._bits.add(bits)
        return bits

    def _seed(self, a: Any = None, version: int = 2) -> None:
        self._given = a is not None
        self._functions[0](a, version)

    def _set_state(self, state: Any) -> None:
        self._given = True
        self._functions[1](state)

    def _is_of_system(self, sequence: Any, kind: type) -> bool:
        return issubclass(type(sequence), kind) and self._holds(getattr(sequence, "entropy", None))

    def _holds(self, entropy: object) -> bool:
        return isinstance(entropy, int) and entropy in self._bits


def _discarding(method: Any, unseeded: _Unseeded) -> Any:
    """Return random.Random.setstate, after which a seed of the system is none any more."""

    def setstate(self: random.Random, state: Any) -> None:
        method(self, state)
        unseeded.discard(self)

    return setstate


def _noting(method: Any, unseeded: _Unseeded) -> Any:
    """Return random.Random.seed, which notes whose seed is the system's."""

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        method(self, a, version)
        (unseeded.discard if a is not None else unseeded.add)(self)

    return seed
