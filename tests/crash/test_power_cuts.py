"""Power cuts at random moments, under load, of a host whose programs return another value in each run.

Clients submit, poll, cancel and read results meanwhile. What they were told once is never another value
afterwards; nothing that was accepted is lost, and no result is empty or torn.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from tests.crash.history import RECORDING, History, violations
from tests.crash.test_kill_loop import Client
from treadle.testing import eventually

ROUNDS = int(os.environ.get("TREADLE_POWER_CUTS", "2"))
"""How often the power is cut."""
SEED = int(os.environ.get("TREADLE_SEED", "0")) or random.randrange(1, 2**32)
# The record of its runs is on another disk, and has all of them.
_PROGRAM = (
    RECORDING
    + """    result = {'data': data, 'run': me, 'random': os.urandom(data['n'] % 5000).hex()}
    if data['n'] % 3:
        return result
    import json
    print('PlanQK:Job:Result:', json.dumps(result))
"""
)


@pytest.mark.timeout(180 + 10 * ROUNDS)
def test_what_was_told_once_is_never_another_value_after_a_power_cut(machine, tmp_path):
    print(f"TREADLE_SEED={SEED}")  # noqa: T201  # pytest shows it when the test fails
    choose = random.Random(SEED)
    projects = []
    for name, toml in (("forked", ""), ("spawned", 'start = "spawn"\n')):
        project = tmp_path / name
        (project / "src").mkdir(parents=True)
        (project / "src" / "program.py").write_text(_PROGRAM)
        (project / "treadle.toml").write_text(f'name = "{name}"\n{toml}')
        projects.append(project)
    (config := tmp_path / "engine.toml").write_text("disk_reserve = 0\n")
    (records := tmp_path / "records").mkdir()
    history = History(power_cuts=True)
    host = machine(*projects, "--config", config, "--jobs", "4")
    bases = [f"/services/{project.name}" for project in projects]
    clients = [Client(host.server, bases, records, history, choose.random()) for _ in range(2)]
    for client in clients:
        client.start()
    for number in range(ROUNDS):
        told = len(history.told)
        eventually(lambda told=told: len(history.told) > told, f"an end in round {number}", 60)
        time.sleep(choose.uniform(0.0, 1.0))
        if choose.random() < 0.7:
            host.sync_something_else()
        host.cut_power()
        host.boot()
    for client in clients:
        client.enough.set()
        client.join()
        assert client.failure is None
    for job in history.accepted:
        eventually((host.spool / "done" / job).exists, f"the end of {job}", 60)
    eventually(lambda: not list((host.spool / "queue").iterdir()), "the last unlink in queue/")
    assert len(history.told) > ROUNDS
    assert list(violations(history, host.spool, records)) == []
