"""Recovery: what an engine does at its start with each folder in run/.

A claim without a begun attempt is undone; every other attempt is adopted. An attempt has begun if there is
anything in the folder but the descriptor and an outcome: its record is written before its runtime starts it,
and a runtime leaves files of its own. Legal states of run/<id>:

| job.json | attempt.json | other files | meaning | what happens |
| --- | --- | --- | --- | --- |
| - | no | none, or an outcome | killed within the claim, or the end of a job never started | it is undone |
| yes | yes | any | the attempt was begun | it is adopted |
| yes | damaged, or gone | any | a power cut took it | it counts as begun, and is adopted (and lost) |
| damaged, or gone | - | any | the same | the file in queue/ takes its place; then as above |
| damaged, as in queue/ | - | any | a program did it, or the disk | the job is ended as FAILED |
| yes | yes | attempts/<n> of its number | killed before the next one was recorded | it is stopped; the next |

A run/<id> that is no folder of ours any more, such as a link, is the work of a program: the job is ended.
If done/<id> exists too, the job has ended, and what is left in run/ is removed: the first outcome counts.

What has to be left, since its service is not served or its runtime not installed, is looked at again when a
service comes in (`Recovery.look_again`).

A damaged attempt is adopted, and not declared lost here: whether a process of it is alive only its runtime
can tell. A folder that can't be read for a transient error of the host is left for the next start.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from treadle.interface.job import Job
from treadle.interface.service import RENAMED_RUNTIMES, Service
from treadle_spool import Accepted, AttemptRecord, InvalidDescriptor, LiveAttempt, Owner, SpoolError, now
from treadle_spool.folder import ATTEMPT, ATTEMPTS, archive
from treadle_spool.untrusted import UntrustedFile, is_folder

log = logging.getLogger(__name__)

ReadOwed = Callable[[str], Accepted]
_DAMAGED = (FileNotFoundError, InvalidDescriptor, UntrustedFile)
"""What reading a file raises that is gone, or whose content is."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """A job that an earlier engine claimed and did not finish."""

    job: Job
    live: LiveAttempt
    put_away: bool = False
    """Whether the attempt was being put away, for the next one: its files may be in attempts/ already.

    A program without a mount namespace can make that folder itself, so the attempt may be alive.
    """
    problem: str = ""
    """Why it can only be ended: its descriptor, or its folder, can't be read any more."""


class Recovery:
    """What an earlier engine has left in run/, for the lifetime of an engine. The methods block on the disk.

    Nobody but the dispatcher claims jobs, and a name in `left` has its folder in run/ already: so what is
    looked at again is never a claim of this engine.
    """

    def __init__(
        self,
        owner: Owner,
        services: Mapping[str, Service],
        runs: Callable[[str], object],
        read_owed: ReadOwed,
    ) -> None:
        """Look at all of run/; called before anything is claimed. The arguments are those of `recover`."""
        self._owner = owner
        self._looking = threading.Lock()
        self._recover = partial(recover, owner, services, runs, read_owed)
        self.found = list(self._recover())
        """What can be gone on with, or be ended."""
        self.left = self._present() - {each.job.id for each in self.found}
        """The names in run/ that nothing is known to do with."""

    def look_again(self) -> list[Recovered]:
        """Return what was left and can be gone on with now."""
        with self._looking:  # two looks at the same time would return the same jobs
            found = list(self._recover(names=self.left & self._present()))
            self.left -= {each.job.id for each in found}
            self.left &= self._present()
            return found

    def _present(self) -> set[str]:
        return set(self._owner.spool.names(self._owner.spool.run))


def recover(
    owner: Owner,
    services: Mapping[str, Service],
    runs: Callable[[str], object],
    read_owed: ReadOwed,
    names: Iterable[str] | None = None,
) -> Iterator[Recovered]:
    """Yield the jobs in run/ whose attempts are to be adopted, and undo claims without an attempt.

    runs returns whether a runtime of that name is installed, and read_owed the descriptor of an owed
    job. names, where given, are the only ones that are looked at. A job whose service is not served, or whose
    runtime is not installed, stays in run/: its program may be alive, and only its runtime can tell.
    """
    spool = owner.spool
    for name in list(spool.names(spool.run) if names is None else names):
        try:
            recovered = _recovered(owner, name, services, read_owed)
        except (OSError, SpoolError) as error:
            log.error("%s can't be recovered: %s", spool.run / name, error)
            continue
        if recovered is None:
            continue
        runtime = recovered.live.attempt.runtime
        if recovered.problem:
            log.error("job %s is ended: %s", name, recovered.problem)
            yield recovered
        elif recovered.job.service not in services:
            log.warning("job %s waits for service %r, which is not served", name, recovered.job.service)
        elif not runs(runtime):
            log.warning("job %s waits for runtime %r, which is not installed", name, runtime)
        else:
            yield recovered


def _recovered(
    owner: Owner, name: str, services: Mapping[str, Service], read_owed: ReadOwed
) -> Recovered | None:
    """Return the job of an entry in run/, mended; None if there is no attempt of it to be gone on with."""
    spool = owner.spool
    if not (spool.done / name).exists() and not is_folder(spool.run / name):
        with suppress(*_DAMAGED):  # no job, or none that can be read
            return _without_folder(Job.of(name, read_owed(name)), services)
    if not owner.mend(name):
        return None
    if not os.path.lexists(spool.run / name / ATTEMPT):  # mended: of each attempt that was begun there is one
        owner.undo_claim(name)
        return None
    return _read(owner, name, services, read_owed)


def _without_folder(job: Job, services: Mapping[str, Service]) -> Recovered:
    """Return an owed job whose folder is none."""
    runtime = services[job.service].runtime if job.service in services else ""
    live = LiveAttempt(attempt=AttemptRecord(number=1, runtime=runtime, started=job.created))
    problem = "its folder in run/ has been replaced, and its attempt can't be found"
    return Recovered(job, live, problem=problem)


def _read(owner: Owner, name: str, services: Mapping[str, Service], read_owed: ReadOwed) -> Recovered:
    """Read a claimed job whose attempt has begun, and mend what is damaged."""
    folder = owner.spool.run / name
    try:
        job = Job.of(name, _descriptor(owner, name, read_owed))
    except _DAMAGED as error:
        problem = f"its descriptor can't be read any more: {error}"
        created = datetime.fromtimestamp(folder.lstat().st_mtime, UTC)
        return Recovered(job := Job(name, "", created), _live(owner, job, ""), problem=problem)
    runtime = services[job.service].runtime if job.service in services else ""
    live = _live(owner, job, runtime)
    return Recovered(job, live, put_away=os.path.lexists(archive(folder, live.attempt.number)))


def _descriptor(owner: Owner, name: str, read_owed: ReadOwed) -> Accepted:
    """Return the descriptor of a claimed job: that in queue/, put in place if another one is there."""
    try:
        descriptor = read_owed(name)
    except _DAMAGED:
        return owner.spool.read_claimed(name)
    if not owner.has_descriptor(name):
        log.warning("job %s: its descriptor was damaged; the file in queue/ takes its place", name)
        owner.restore_descriptor(name)
    return descriptor


def _live(owner: Owner, job: Job, runtime: str) -> LiveAttempt:
    """Return the record of the live attempt; of a damaged one what is certain, with this runtime."""
    try:
        live = owner.spool.read_live(job.id)
    except _DAMAGED:
        live = _counted(owner.spool.run / job.id, job, runtime)
        if runtime:
            _record(owner, job.id, live)
    name = live.attempt.runtime or runtime  # an earlier version may have recorded none
    return _with_runtime(live, RENAMED_RUNTIMES.get(name, name))


def _record(owner: Owner, name: str, live: LiveAttempt) -> None:
    """Write a damaged record anew; where the disk refuses, the next engine does it."""
    try:
        owner.record_attempt(name, live)
    except OSError as error:
        log.error("job %s: its attempt can't be recorded anew: %s", name, error)


def _with_runtime(live: LiveAttempt, name: str) -> LiveAttempt:
    return msgspec.structs.replace(live, attempt=msgspec.structs.replace(live.attempt, runtime=name))


def _counted(folder: Path, job: Job, runtime: str) -> LiveAttempt:
    """Return the record of an attempt whose own is damaged: its number is one more than those put away.

    A timeout counts from its start. So that is not earlier than the newest change of the folder tells.
    """
    away = folder / ATTEMPTS
    number = 1 + (sum(1 for _ in away.iterdir()) if away.is_dir() else 0)
    changed = datetime.fromtimestamp(folder.lstat().st_mtime, UTC)
    started = min(now(), max(job.created, changed))
    record = AttemptRecord(number=number, runtime=runtime, started=started)
    return LiveAttempt(attempt=record, service=job.service)
