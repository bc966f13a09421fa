"""A program may print whatever it likes: the engine goes on to answer at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.health_probe import HealthProbe

SIZE = int(os.environ.get("TREADLE_NOISE", "400000"))
"""How much is printed in each case: bytes of empty lines, interim results, bytes of long lines by hundred."""
P99 = float(os.environ.get("TREADLE_HEALTH_P99", "1.0"))
"""Seconds; on a host that does nothing else 0.05 holds."""

SLOW = """
import time
from treadle import OutputParser, hookimpl

class Slow(OutputParser):
    name = "slow"

    def feed(self, line):
        time.sleep(0.001)
        return ()

@hookimpl
def register_parsers(settings):
    return [Slow]
"""
NOISES = {
    "empty lines": "sys.stdout.write('\\n' * {size})",
    "empty lines in a block": "print('PlanQK:Job:MultilineResult')\n"
    "    sys.stdout.write('\\n' * {size} + '1\\n')\n"
    "    print('PlanQK:Job:MultilineResult')",
    "one long line": "for _ in range({size} // 10_000): sys.stdout.write('x' * 1_000_000)",
    "a large result": "print('PlanQK:Job:Result: \"' + 'x' * ({size} * 10) + '\"')",
    "a large interim result": "print('PlanQK:Job:InterimResult: [' + '[[1]],' * ({size} * 10 // 6) + '1]')",
    "interim results": "sys.stdout.write('PlanQK:Job:InterimResult: 1\\n' * ({size} // 20))",
    "malformed interim results": "sys.stdout.write('PlanQK:Job:InterimResult: {{\\n' * ({size} // 20))",
    "lines of a slow parser": "sys.stdout.write('x\\n' * ({size} // 1000))",
}


@pytest.mark.parametrize("noise", NOISES)
def test_whatever_programs_print_the_engine_answers_at_once(serve, project, tmp_path: Path, noise):
    parser = "slow" if "slow" in noise else "planqk"
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "slow.py").write_text(SLOW)
    program = f"import sys\ndef run():\n    {NOISES[noise].format(size=SIZE)}\n"
    path = project(program, f"parser = '{parser}'\noutput_limit = {max(2**30, SIZE * 200)}\n")
    server = serve(path, "--plugins-dir", tmp_path / "plugins", "--jobs", "3")
    with HealthProbe(server.url) as probe:
        jobs = [server.submit() for _ in range(3)]
        ended = [server.ended(job)["status"] for job in jobs]
    assert ended == ["SUCCEEDED"] * 3
    assert probe.statuses == {200}
    assert probe.p99 < P99, f"{probe.p99:.3f} s, of {len(probe.seconds)} answers"
