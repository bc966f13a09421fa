"""The intake of drop/: a file <name>.json there becomes the job <name>, or is refused and moved to bad/.

The steps for one entry; each is a call of its own, so that a slow step of one delays no other:

1. `look`: leave what is named like a partial file, has a writer or is not finished (dropped.py). Leave what
   has no job's name until it has been quiet for some seconds. Read and parse the others, unless they are
   large.
2. The engine checks the job. Or `accept_large`: it has another process read, parse and check a large one.
3. `accept`: a copy becomes the job, with the identity of the file as the job's `origin`. Then the file is
   taken away (taking.py). Or `refuse_all`: the files are taken away, and moved to bad/ with their reasons.

Invariant: a file leaves drop/ only when its job, or the reason of its refusal, is durable. After a crash it
is found again, under its own name or the hidden one. If a job with its name and `origin` exists, the file is
only taken away. If the job's `origin` is another one, the file is refused: its name is in use.

An entry that can't be taken away is remembered (left.py), and left alone from then on.

To unlink by name what was read by descriptor was tried before: a file that was renamed onto the name
meanwhile was lost. The device number was part of `origin` before: it may change at a reboot.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from treadle_spool.descriptor import Descriptor
from treadle_spool.draft import Draft
from treadle_spool.drop_accept import Accepting, without_frames
from treadle_spool.drop_names import Kind, dropped_name, job_name, kind_of
from treadle_spool.drop_outcomes import Faulty, Found, Large, LeftAlone, NotYet, Refused, Taken
from treadle_spool.dropped import OpenFile, Unfinished, digest_of, parse
from treadle_spool.errors import HardLinked, SpoolError, Unreadable
from treadle_spool.left import origin_of
from treadle_spool.owner import Owner
from treadle_spool.patience import Patience
from treadle_spool.quarantine import UNMOVABLE, Refusal, Stuck
from treadle_spool.taking import Replaced, Taking

_QUIET = 2.5
"""How many times longer one waits for an entry to get another name than for the rest of its content."""

Check = Callable[[Descriptor], None]
"""A callback that raises a SpoolError for a job that the engine does not accept."""
Compose = Callable[[Path, os.stat_result], Draft]
"""A callback that decodes a dropped file, checks its job and writes the file of that in tmp/.

It raises a SpoolError for a job that the engine does not accept, and Unfinished if it finds another file.
"""


class DropFolder:
    """The reader of drop/, for as long as its owner holds the spool.

    `names` and `look` are called in one thread at a time, the others in any. What it remembers of unfinished
    entries may be lost; what it must not forget is in left.jsonl.
    """

    def __init__(
        self,
        owner: Owner,
        *,
        max_bytes: int,
        settle: float = 2.0,
        quiet: float | None = None,
        large: int | None = None,
    ) -> None:
        """Refuse files of more than max_bytes; those of more than `large` are read by `accept_large` only.

        A file whose end can't be seen counts as finished when it has been unchanged for `settle` seconds,
        and one that has no job's name when it has been unchanged for `quiet` seconds.
        """
        self.path = owner.spool.drop
        self._spool = owner.spool
        self.max_bytes = max_bytes
        self._settle = settle
        self._quiet = settle * _QUIET if quiet is None else quiet
        self._large = large
        self._patience = Patience()
        self._taking = Taking(self.path, owner.spool.root)
        self._accepting = Accepting(owner.spool, self._taking)

    def names(self) -> list[str]:
        """Return the names of all entries of the folder, but those that are being taken away just now."""
        with os.scandir(self.path) as entries:
            names = [entry.name for entry in entries if not self._taking.has_in_hand(entry.name)]
        self._patience.keep(names)
        return names

    def take(self, entry: str, check: Check) -> Taken | Refused | LeftAlone | NotYet:
        """Accept the file as a job, refuse it and move it to bad/, or leave it: one step after the other.

        Only where no file is Large. Raises OSError only for errors of the disk, never for faults of the file.
        """
        looked: Found | Large | Faulty | Taken | LeftAlone | NotYet = self.look(entry)
        assert not isinstance(looked, Large)
        if isinstance(looked, Found):
            try:
                check(looked.descriptor)
            except SpoolError as error:
                looked = Faulty(entry, error, looked.file)
            else:
                looked = self.accept(looked)
        if isinstance(looked, Faulty):
            (outcome,) = self.refuse_all([looked])
            if isinstance(outcome, OSError):
                raise outcome
            return outcome
        return looked

    def look(self, entry: str, most: int | None = None) -> Found | Large | Faulty | LeftAlone | NotYet:
        """Read an entry if it is finished; a file of more than `most` bytes is not read now.

        Raises OSError only for errors of the disk.
        """
        kind = kind_of(dropped_name(entry))
        if kind is Kind.PARTIAL:
            return NotYet(unfinished=False)
        try:
            file = (self.path / entry).lstat()
            if stays := self._taking.reason(file):
                return LeftAlone(stays)
            return self._look(entry, kind, file, most)
        except FileNotFoundError:
            self._patience.forget(entry)
            return NotYet(unfinished=False)
        except Unfinished:
            return NotYet(unfinished=True, again=self._settle)

    def _look(
        self, entry: str, kind: Kind, file: os.stat_result, most: int | None
    ) -> Found | Large | Faulty | NotYet:
        wait = self._quiet if kind is Kind.DOUBTFUL else 0.0
        is_complete = False
        try:
            with OpenFile(self.path / entry) as opened:
                file = opened.file
                is_complete = opened.has_no_writer() and file.st_size > 0
                opened.check(self.max_bytes)
                if wait and (missing := self._patience.missing(entry, file, wait)):
                    return NotYet(unfinished=True, again=missing)
                job_name(dropped_name(entry))
                if most is not None and file.st_size > most:
                    return NotYet(unfinished=True, again=self._settle / 10)
                if self._large is not None and file.st_size > self._large:
                    return Large(entry, file, is_complete)
                content = opened.read()
                return Found(entry, parse(content), file, digest_of(content))
        except SpoolError as error:
            wait = max(wait, self._wait_for_better(error, file, is_complete))
            if missing := self._patience.missing(entry, file, wait):
                return NotYet(unfinished=True, again=missing)
            return Faulty(entry, without_frames(error), file)

    def _wait_for_better(self, error: SpoolError, file: os.stat_result, is_complete: bool) -> float:
        """Return how many seconds the entry must have been unchanged before it is refused for this error."""
        if isinstance(error, Unreadable):  # its writer may change its mode at the end
            return self._quiet
        if isinstance(error, HardLinked) or stat.S_ISDIR(file.st_mode):
            # A writer may publish a file by link and unlink; a folder may still be filled.
            return self._settle
        return self._settle if stat.S_ISREG(file.st_mode) and not is_complete else 0.0

    def accept(self, found: Found) -> Taken | Faulty:
        """Accept a checked job, durably, and take its file away; Faulty if the job's name is in use.

        Raises OSError; then the entry is to be looked at again, and its job does not become a second one.
        """
        descriptor = msgspec.structs.replace(found.descriptor, created=None, origin=origin_of(found.file))
        return self._accepting.accept(found.entry, found.file, descriptor, found.digest)

    def accept_large(self, large: Large, compose: Compose) -> Taken | Faulty | NotYet:
        """Have a large file composed, and accept its job as `accept` does, or return why not."""
        try:
            with OpenFile(self.path / large.entry) as opened:
                digest = opened.digest()
            draft = compose(self.path / large.entry, large.file)
        except FileNotFoundError:
            return NotYet(unfinished=False)
        except Unfinished:
            return NotYet(unfinished=True, again=self._settle)
        except SpoolError as error:
            wait = self._wait_for_better(error, large.file, large.is_complete)
            if missing := self._patience.missing(large.entry, large.file, wait):
                return NotYet(unfinished=True, again=missing)
            return Faulty(large.entry, without_frames(error), large.file)
        try:
            return self._accepting.accept(large.entry, large.file, draft, digest)
        finally:
            draft.remove()

    def refuse_all(self, faults: Sequence[Faulty]) -> list[Refused | NotYet | OSError]:
        """Refuse entries: move them to bad/, with their reasons. Returns the outcome of each.

        After an OSError the entry is in drop/, and is to be looked at again.
        """
        places = [self._take_away(fault) for fault in faults]
        with self._taking.letting_go(*(place for place in places if isinstance(place, Path))):
            return self._move_all(faults, places)

    def _move_all(
        self, faults: Sequence[Faulty], places: Sequence[Path | NotYet | OSError]
    ) -> list[Refused | NotYet | OSError]:
        refusals = {
            number: Refusal(
                place if isinstance(place, Path) else None, dropped_name(fault.entry), fault.error
            )
            for number, (fault, place) in enumerate(zip(faults, places, strict=True))
            if isinstance(place, Path) or (isinstance(place, OSError) and place.errno in UNMOVABLE)
        }
        moved = dict(zip(refusals, self._spool.quarantine.take_all(list(refusals.values())), strict=True))
        return [
            self._refused(fault, place, moved.get(number))
            for number, (fault, place) in enumerate(zip(faults, places, strict=True))
        ]

    def _take_away(self, fault: Faulty) -> Path | NotYet | OSError:
        try:
            return self._taking.take_away(fault.entry, fault.file)
        except FileNotFoundError:
            return NotYet(unfinished=False)
        except Replaced as other:
            return NotYet(unfinished=True, entry=other.entry)
        except OSError as error:
            return error

    def _refused(
        self, fault: Faulty, place: Path | NotYet | OSError, moved: Path | Stuck | OSError | None
    ) -> Refused | NotYet | OSError:
        """Return the outcome of a refusal; what could not be moved is put back, and remembered."""
        if isinstance(place, NotYet):
            return place
        if moved is None and isinstance(place, OSError):
            return place
        entry, stays = fault.entry, place if isinstance(place, OSError) else None
        if isinstance(place, Path) and not isinstance(moved, Path):
            entry = self._taking.put_back(place, entry)
            stays = moved.why if isinstance(moved, Stuck) else None
        if isinstance(moved, OSError):
            return moved
        try:
            why = self._taking.leave(entry, fault.file, stays) if stays else None
        except OSError as error:
            return error
        return Refused(dropped_name(entry), str(fault.error), why)
