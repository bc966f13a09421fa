"""Admission: the checks that every job passes before it is accepted, over HTTP or from the drop folder.

`data` and `params` are validated against the schemas `inputData` and `inputParams` of the service's OpenAPI
document, as openapi.json shows them (validating.py). The validators are made once, when the service is read:
a schema that is not valid, or refers to one that is not, is an error then, and not at the first job.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from treadle.extend.loader import Plugins
from treadle.intake.catalogue import Catalogue
from treadle.intake.composing import FromDrop, Source
from treadle.intake.large_jobs import LargeJobs
from treadle.intake.validation_pool import ValidationPool
from treadle.interface.errors import TreadleError
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle_spool import EMPTY, Accepted, Descriptor, InvalidDescriptor, Spool
from treadle_spool.draft import Draft
from treadle_spool.folder import read_descriptor


class QueueFull(TreadleError):
    """The queue is at its limit; try again later."""


class DiskFull(TreadleError):
    """The spool's disk is below its reserve; free some space."""


class ShuttingDown(TreadleError):
    """The engine is about to stop and takes no more jobs; try again when it is back."""


class Admission:
    """The checks of one engine or API process, for its whole lifetime; no state but `closed`.

    Called by the gateway and by the drop folder's intake, in the event loop and in threads. Its own I/O is
    one statvfs. `check` may block: for a process that validates, and in the plugins' `validate_job`.
    """

    closed = False
    """Set when the process is about to stop: no more jobs are accepted."""

    def __init__(
        self,
        spool: Spool,
        catalogue: Catalogue,
        pool: ValidationPool,
        plugins: Plugins,
        settings: Settings,
        *,
        count_owed: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._catalogue = catalogue
        self._plugins = plugins
        self._settings = settings
        self._count_owed = count_owed
        self._pool = pool
        self._large = LargeJobs(spool, pool)
        self._plugins_validate = any(True for _ in plugins.implementations("validate_job"))

    def check_room(self) -> None:
        """Raise QueueFull, DiskFull, ShuttingDown or OSError if there is no room for one more job."""
        if self.closed:
            raise ShuttingDown
        if (owed := self._count_owed()) >= self._settings.queue_limit:
            raise QueueFull(
                f"{owed} jobs are waiting or running, and the limit is {self._settings.queue_limit}: "
                "try again later"
            )
        disk = os.statvfs(self._spool.root)
        if disk.f_flag & os.ST_RDONLY:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self._spool.root))
        reserve = self._settings.disk_reserve
        if (free := disk.f_bavail * disk.f_frsize) < reserve:
            raise DiskFull(
                f"the disk of {self._spool.root} has {free} free bytes, and {reserve} are kept back: "
                "free some space, or lower --disk-reserve"
            )
        if disk.f_files and not disk.f_favail:
            raise DiskFull(f"the disk of {self._spool.root} can have no more files: remove some")

    def problems(self) -> list[str]:
        """Return why a job would be refused for want of room, or a dropped file would wait."""
        try:
            self.check_room()
        except (TreadleError, OSError) as error:
            return [f"no job is accepted: {error}"]
        return []

    def close(self) -> None:
        """End the processes that validate, those at work too: whoever waits for one gets an OSError.

        It may be called again.
        """
        self._pool.close()

    def is_quick(self, job: Descriptor) -> bool:
        """Return whether `check` is fast enough for the event loop: no schema, and no plugin to call."""
        return not self._plugins_validate and not self._catalogue.checks_of(job.service)

    def check(self, job: Descriptor) -> None:
        """Raise InvalidDescriptor, with the JSON path of the fault, if the job can't be run.

        Raises ServiceBroken or OSError if it can't be validated now.
        """
        served = self._catalogue.find(job.service)
        for payload, check in served.checks.items():
            check.check(bytes(getattr(job, payload)) or EMPTY)
        self._ask_plugins(job, served.service)

    def compose(self, source: Source, size: int) -> Draft:
        """Have a process decode a large job of so many bytes, check it and write its file.

        Raises SpoolError if the job can't be run, Unfinished if its file has changed meanwhile, ServiceBroken
        and OSError. Blocks. The caller removes the draft.
        """
        draft = self._large.compose(source, size, lambda job: self._catalogue.find(job.service).checks)
        if self._plugins_validate:
            try:
                service = self._catalogue.find(draft.job.service).service
                self._ask_plugins(read_descriptor(draft.path), service)
            except BaseException:
                draft.remove()
                raise
        return draft

    def compose_dropped(self, path: Path, file: os.stat_result) -> Draft:
        """Have a process decode a large file in drop/, as `compose` does."""
        return self.compose(FromDrop.of(path, file), file.st_size)

    def read_owed(self, name: str) -> Accepted:
        """Return the checked descriptor of an owed job, a large one without its payload (large_jobs.py)."""
        return self._large.read_owed(name)

    def _ask_plugins(self, job: Descriptor, service: Service) -> None:
        if problems := self._plugins.problems(job, service):
            raise InvalidDescriptor("; ".join(problems))
