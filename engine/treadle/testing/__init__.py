"""The kit for tests of a plugin: engines on temporary spools, attempts without an engine, scripted parts.

- A runtime's or a program's methods are tested over a folder: `make_attempt`, `live_attempt`.
- A plugin in an engine is tested with `EngineHarness`; `submit`, `ended`, `result`, `log`, `end` and `calls`
  act on its engine.
- `ScriptedRuntime` and `ScriptedProgram` take the place of the parts that are not tested.
- `until` and `eventually` wait for a condition.

The kit depends on no test framework: a failed expectation is an AssertionError. It is for tests alone; no
other package of the engine imports it.
"""

from treadle.testing.attempts import live_attempt, make_attempt
from treadle.testing.harness import EngineHarness, calls, end, ended, log, result, submit
from treadle.testing.scripted import Call, ScriptedProgram, ScriptedRuntime
from treadle.testing.waiting import eventually, until

__all__ = [
    "Call",
    "EngineHarness",
    "ScriptedProgram",
    "ScriptedRuntime",
    "calls",
    "end",
    "ended",
    "eventually",
    "live_attempt",
    "log",
    "make_attempt",
    "result",
    "submit",
    "until",
]
