"""Admission: the checks that every job passes before it is accepted, over HTTP or from the drop folder.

`data` and `params` are validated against the schemas `inputData` and `inputParams` of the service's OpenAPI
document, as openapi.json shows them (validating.py). The validators are made once, when the engine starts; a
schema that is not valid, or refers to one that is not, is an error then, and not at the first job.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from treadle.extend.loader import Plugins
from treadle.intake.composing import FromDrop, Source
from treadle.intake.service_schemas import schemas_of
from treadle.intake.subschemas import Json
from treadle.intake.validating import PAYLOADS, Fault, find_fault, is_linear, make_validator, reachable
from treadle.intake.validation_pool import HOW_TO_MEND, Check, Process, TooSlow, ValidationPool, composed
from treadle.interface.errors import ServiceError, TreadleError
from treadle.interface.service import Service
from treadle.interface.settings import Settings
from treadle.support.hints import nearest
from treadle_spool import EMPTY, Descriptor, InvalidDescriptor, Spool
from treadle_spool.draft import Draft
from treadle_spool.folder import read_descriptor

_SMALL = 4 * 1024
"""Bytes of a payload that the engine itself validates, if its schema is simple: 20 ms at most."""
_MUCH = 8 * 1024 * 1024
"""Bytes of a job that may take hundreds of MB to validate: there is one at a time."""


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
        services: Mapping[str, Service],
        plugins: Plugins,
        settings: Settings,
        count_owed: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._services = services
        self._plugins = plugins
        self._settings = settings
        self._count_owed = count_owed
        self._pool = ValidationPool(settings.validation_seconds)
        self._checks = {
            (name, payload): _PayloadCheck(service, payload, schemas, self._pool)
            for name, service in services.items()
            for schemas in [_schemas(service)]
            for payload, schema in PAYLOADS.items()
            if schemas.get(schema, True) not in ({}, True)
        }
        self._large = threading.Lock()
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
        """End the processes that validate."""
        self._pool.close()

    def is_quick(self, job: Descriptor) -> bool:
        """Return whether `check` is fast enough for the event loop: no schema, and no plugin to call."""
        return not self._plugins_validate and all(
            (job.service, each) not in self._checks for each in PAYLOADS
        )

    def check(self, job: Descriptor) -> None:
        """Raise InvalidDescriptor, with the JSON path of the fault, if the job can't be run.

        Raises OSError if it can't be validated now.
        """
        service = self._service(job)
        for payload in PAYLOADS:
            if check := self._checks.get((service.name, payload)):
                check.check(bytes(getattr(job, payload)) or EMPTY)
        self._ask_plugins(job, service)

    def compose(self, source: Source, size: int) -> Draft:
        """Have a process decode a large job of so many bytes, check it and write its file.

        Raises SpoolError if the job can't be run, Unfinished if its file has changed meanwhile, and OSError.
        Blocks. The caller removes the draft.
        """
        path = str(self._spool.new_in_tmp())
        alone = self._large if self._checks and size > _MUCH else nullcontext()
        try:
            with alone, self._pool.process(size) as process:
                draft = Draft(composed(process, source, path, size), path)
                service = self._service(draft.job)
                for payload in PAYLOADS:
                    if check := self._checks.get((service.name, payload)):
                        check.check_composed(process, payload)
            if self._plugins_validate:
                self._ask_plugins(read_descriptor(path), service)
        except BaseException:
            Path(path).unlink(missing_ok=True)
            raise
        return draft

    def compose_dropped(self, path: Path, file: os.stat_result) -> Draft:
        """Have a process decode a large file in drop/, as `compose` does."""
        return self.compose(FromDrop.of(path, file), file.st_size)

    def _service(self, job: Descriptor) -> Service:
        service = self._services.get(job.service)
        if service is None:
            raise InvalidDescriptor(
                f"no service named {job.service!r}{nearest(job.service, self._services)}", "$.service"
            )
        return service

    def _ask_plugins(self, job: Descriptor, service: Service) -> None:
        if problems := self._plugins.problems(job, service):
            raise InvalidDescriptor("; ".join(problems))


def _schemas(service: Service) -> Json:
    """Return the schemas of a service; raise ServiceError if they can't be had."""
    try:
        return schemas_of(service)
    except RecursionError:
        raise ServiceError(
            f"{service.path}: a schema of its openapi-spec contains itself, or is nested too deeply"
        ) from None


def _check_schema(service: Service, name: str, schema: Any) -> None:
    """Raise ServiceError if a schema that payloads are validated against is none."""
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ServiceError(
            f"{service.path}: components.schemas.{name} of its openapi-spec is not a valid schema: "
            f"{error.message} (at {error.json_path})"
        ) from None


class _PayloadCheck:
    """The check of one payload of a service against its schema."""

    def __init__(self, service: Service, payload: str, schemas: Json, pool: ValidationPool) -> None:
        """Raise ServiceError if the schema, or one that it refers to, is not valid."""
        name = PAYLOADS[payload]
        self._path = f"$.{payload}"
        self._pool = pool
        needed = reachable(schemas, name)
        for each, schema in needed.items():
            _check_schema(service, each, schema)
        self._is_linear = all(map(is_linear, needed.values()))
        self._validator = make_validator(needed, name)
        self._check = Check.of(f"{service.name}/{payload}", name, needed)

    def check(self, payload: bytes) -> None:
        """Raise InvalidDescriptor if a payload does not fit."""
        if self._is_linear and len(payload) <= _SMALL:
            self._raise(find_fault(self._validator, payload))
            return
        with self._pool.process(len(payload)) as process:
            self.check_composed(process, payload)

    def check_composed(self, process: Process, payload: bytes | str) -> None:
        """Have a process validate a payload, or the one of that name of the job that it has composed."""
        try:
            reply = process.validate(self._check, payload)
        except TooSlow:
            detail = "checking it against the service's schema takes too long"
            self._raise(Fault(f"{detail}: {HOW_TO_MEND}", "$"))
        else:
            self._raise(None if reply.detail is None else Fault(reply.detail, reply.path or "$"))

    def _raise(self, fault: Fault | None) -> None:
        if fault is not None:
            raise InvalidDescriptor(fault.detail, self._path + fault.path[1:])
