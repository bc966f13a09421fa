"""The spool against a model: any order of accepts, drops, claims, ends, cancels, kills and power cuts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from unittest import mock

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.crash.disk import Disk
from tests.crash.transition import DATA, DROPPED, SERVICES, descriptor, status
from treadle.dispatch.recovery import recover
from treadle.testing import live_attempt
from treadle_spool import DropFolder, LiveAttempt, NameTaken, Retention, Spool, State, UnknownJob
from treadle_spool.drop_names import dropped_name
from treadle_spool.removal import remove
from treadle_spool.retention import collect

EXAMPLES = int(os.environ.get("TREADLE_MACHINE", "10"))
"""How many sequences are tried."""
CALLS = ("open", "write", "fsync", "link", "rename", "unlink", "mkdir", "rmdir")
NAMES = st.sampled_from(["a", "b", "c"])


class Killed(BaseException):
    """The process has been killed; nothing that it would still do is done."""


@contextmanager
def killed_after(calls: int) -> Iterator[None]:
    """Let so many system calls that may change the disk through; from then on there are none."""
    left = [calls]

    def guarded(call: Callable[..., object]) -> Callable[..., object]:
        def guard(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*arguments, **named)

        return guard

    with mock.patch.multiple(os, **{name: guarded(getattr(os, name)) for name in CALLS}), suppress(Killed):
        yield


class Peace(RuleBasedStateMachine):
    """An engine and its clients, who know what they were promised."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self.disk = disk
        for old in disk.root.glob("spool*"):
            remove(old)  # what an owner has discarded goes in a thread, at the same time
        self.lock = ExitStack()
        self.begin()
        disk.sync()
        self.owed: set[str] = set()
        """Jobs whose acceptance has returned, and whose end has not been reported."""
        self.unsure: set[str] = set()
        """Jobs whose acceptance, or removal, was cut off."""
        self.ended: dict[str, tuple[State, bytes | None]] = {}
        """What was told of ended jobs."""
        self.running: dict[str, LiveAttempt] = {}
        self.cancelled: set[str] = set()
        self.counted: dict[str, int] = {}
        """The numbers of attempts that are durable."""

    def begin(self) -> None:
        """Open the spool, as an engine does."""
        self.spool = Spool.open(self.disk.root / "spool")
        self.owner = self.lock.enter_context(self.spool.lock())

    def teardown(self) -> None:
        self.lock.close()

    @rule(name=NAMES)
    def accept(self, name: str) -> None:
        try:
            self.spool.accept(descriptor(), name)
        except NameTaken:
            assert name in self.owed | self.unsure | set(self.ended)
        else:
            assert name not in self.owed | set(self.ended)
            self.owed.add(name)

    @rule(name=NAMES)
    def drop(self, name: str) -> None:
        (self.spool.drop / f"{name}.json").write_bytes(DROPPED)
        self.disk.sync()
        self.take(name)

    def take(self, name: str, entry: str | None = None) -> None:
        known = name in self.owed | self.unsure | set(self.ended)
        DropFolder(self.owner, max_bytes=10_000, settle=0).take(entry or f"{name}.json", lambda _: None)
        if not known:
            self.owed.add(name)

    @rule(name=NAMES)
    def cancel(self, name: str) -> None:
        with suppress(UnknownJob):
            if not self.spool.ask_to_cancel(name).status.ended:
                self.cancelled.add(name)

    @precondition(lambda self: self.owed)
    @rule(data=st.data())
    def claim(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.owed)))
        if name not in self.running:
            attempt = live_attempt()
            if self.owner.claim(name, attempt) is not None:
                self.running[name] = attempt

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        before = self.running[name]
        self.running[name] = self.owner.next_attempt(name, before)
        assert self.running[name].attempt.number == before.attempt.number + 1
        self.counted[name] = self.running[name].attempt.number

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def last(self, data: st.DataObject) -> None:
        """Have an attempt run for some seconds."""
        name = data.draw(st.sampled_from(sorted(self.running)))
        (self.spool.run / name / "identity.json").write_bytes(b"")
        self.owner.sync_attempt(name)
        self.counted[name] = self.running[name].attempt.number

    @precondition(lambda self: self.running)
    @rule(data=st.data(), value=st.binary(max_size=20))
    def finish(self, data: st.DataObject, value: bytes) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        self.end(name, value)
        self.told(name, State.SUCCEEDED, value)

    def end(self, name: str, value: bytes) -> None:
        self.owner.finish(msgspec.structs.replace(status(), id=name), value)

    def told(self, name: str, state: State, value: bytes | None) -> None:
        self.running.pop(name, None)
        self.owed.discard(name)
        self.unsure.discard(name)
        self.cancelled.discard(name)
        self.counted.pop(name, None)
        self.ended[name] = (state, value)

    @rule(keep=st.integers(0, 2))
    def collect(self, keep: int) -> None:
        for gone in collect(self.spool, Retention(jobs=keep)):
            assert gone.name in set(self.ended) | self.unsure
            self.ended.pop(gone.name, None)
            self.unsure.discard(gone.name)


class SpoolMachine(Peace):
    """The same with kills and power cuts; its invariants are the promise."""

    @rule(name=NAMES, calls=st.integers(0, 12), power=st.booleans())
    def killed_in_accept(self, name: str, calls: int, power: bool) -> None:
        free = name not in self.owed | self.unsure | set(self.ended)
        with killed_after(calls):
            self.spool.accept(descriptor(), name) if free else None
        if free:
            self.unsure.add(name)
        self.start_anew(power)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), calls=st.integers(0, 25), power=st.booleans(), value=st.binary(max_size=20))
    def killed_in_finish(self, data: st.DataObject, calls: int, power: bool, value: bytes) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        with killed_after(calls):
            self.end(name, value)
            self.told(name, State.SUCCEEDED, value)
        self.start_anew(power)

    @precondition(lambda self: self.owed)
    @rule(data=st.data(), calls=st.integers(0, 8), power=st.booleans())
    def killed_in_claim(self, data: st.DataObject, calls: int, power: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.owed)))
        if name not in self.running:
            with killed_after(calls):
                self.owner.claim(name, live_attempt())
        self.start_anew(power)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), calls=st.integers(0, 15), power=st.booleans())
    def killed_in_retry(self, data: st.DataObject, calls: int, power: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        with killed_after(calls):
            self.owner.next_attempt(name, self.running[name])
        self.start_anew(power)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), calls=st.integers(0, 8), power=st.booleans())
    def killed_in_a_sync(self, data: st.DataObject, calls: int, power: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.running)))
        with killed_after(calls):
            self.owner.sync_attempt(name)
        self.start_anew(power)

    @rule(calls=st.integers(0, 15), power=st.booleans())
    def killed_in_collect(self, calls: int, power: bool) -> None:
        with killed_after(calls):
            collect(self.spool, Retention(jobs=0))
        self.unsure |= set(self.ended)  # each is there still, as it was, or is gone
        self.start_anew(power)

    @rule()
    def power_cut(self) -> None:
        self.start_anew(True)

    def start_anew(self, power: bool) -> None:
        """Do what the next engine does at its start."""
        self.lock.close()
        if power:
            self.disk.cut_power()
        self.begin()
        self.owner.sweep()
        self.running = {
            found.job.id: found.live
            for found in recover(self.owner, SERVICES, lambda _: True, self.spool.read_queued)
        }
        self.cancelled = {name for name in self.cancelled if name in self.owed}
        for entry in list(self.spool.drop.iterdir()):
            self.take(dropped_name(entry.name).removesuffix(".json"), entry.name)
        for name in list(self.unsure):
            self.become_sure(name)

    def become_sure(self, name: str) -> None:
        """Look up a job of which nothing has been reported: from now on the answer holds."""
        self.unsure.discard(name)
        try:
            now = self.spool.look_up(name)
        except UnknownJob:
            self.ended.pop(name, None)
            self.owed.discard(name)
            return
        if now.status.ended:
            if name not in self.ended:
                self.told(name, now.status, self.result(name))
        else:
            assert name not in self.ended
            self.owed.add(name)

    def result(self, name: str) -> bytes | None:
        path = self.spool.done / name / "result.json"
        return path.read_bytes() if path.exists() else None

    @invariant()
    def nothing_is_lost(self) -> None:
        for name in list(self.owed):
            now = self.spool.look_up(name)
            if now.status.ended:  # its finish was cut off after the commit
                self.told(name, now.status, self.result(name))
            else:
                assert bytes(self.spool.read_queued(name).data) == DATA
                assert now.status is (State.RUNNING if name in self.running else State.PENDING)

    @invariant()
    def what_was_told_stays(self) -> None:
        for name, (state, value) in self.ended.items():
            if name not in self.unsure:
                assert self.spool.look_up(name).status is state
                assert self.result(name) == value

    @invariant()
    def no_durable_attempt_is_forgotten(self) -> None:
        for name, number in self.counted.items():
            if not self.spool.look_up(name).status.ended:  # a finish may be cut off after its commit
                assert self.running[name].attempt.number >= number

    @invariant()
    def every_cancel_is_kept(self) -> None:
        for name in self.cancelled & self.owed:
            assert (self.spool.cancel / name).exists()


@pytest.mark.timeout(120 + 2 * EXAMPLES)
def test_the_spool_is_what_its_model_is(disk):
    run_state_machine_as_test(
        lambda: SpoolMachine(disk),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            phases=[Phase.generate],  # a failure of thirty steps is read, not shrunk for an hour
            suppress_health_check=list(HealthCheck),
        ),
    )
