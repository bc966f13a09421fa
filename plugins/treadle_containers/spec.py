"""The specification of an attempt's container: its image, its input, and its limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from treadle import Attempt, Mount, Service

INPUT = "/var/input"
"""Where a program finds data.json and params.json (Runtime Interface, "Custom Docker Container", "Input")."""

SPOOL, JOB, ATTEMPT = "treadle.spool", "treadle.job", "treadle.attempt"
"""The labels of an attempt's container."""

_ENVIRONMENT = {"PYTHONUNBUFFERED": "1"}
"""Python writes to a pipe by blocks, so what a program prints would be seen at its end only."""
_NOBODY = "65534:65534"
_GB = 1000**3
_MIB = 1024**2
_OOM_RAISE, _HIGHEST_OOM_SCORE = 500, 1000


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt's container may do and use: least privilege, unless its service asks for more.

    Its fields are the keys of treadle.toml that the container runtimes add; also in a table `[container]`, or
    one of the runtime's name.
    """

    network: str = "none"
    """Its network mode."""
    user: str | None = None
    """None for the image's own user, or for `nobody` if that has uid 0."""
    capabilities: tuple[str, ...] = ()
    """The names of Linux capabilities to add, such as `SYS_NICE`."""
    new_privileges: bool = False
    writable_root: bool = False
    init: bool = True
    """Whether its first process is an init that hands signals on, where the container engine has one."""
    tmp_size: Annotated[int, Meta(gt=0)] = 256
    """The size of /tmp in MiB; it is in memory."""
    shm_size: Annotated[int, Meta(gt=0)] = 64
    """The size of /dev/shm in MiB; it is in memory."""
    pids: Annotated[int, Meta(gt=0)] = 1024
    memory: Annotated[float, Meta(gt=0)] | None = None
    """In GB, swap included; None: as planqk.json says, else no limit."""
    cpus: Annotated[float, Meta(gt=0)] | None = None
    """None: as planqk.json says, else no limit."""
    gpus: Annotated[int, Meta(ge=0)] | None = None
    """None: as planqk.json says, else none."""
    output_limit: Annotated[int, Meta(gt=0)] = 256 * _MIB
    """Bytes of standard output, and as many of standard error."""

    @classmethod
    def of(cls, service: Service, runtime: str) -> Limits:
        """Return a service's limits in a runtime: by treadle.toml, else by planqk.json, else the defaults.

        Raises ServiceError for a value that makes no sense.
        """
        limits, resources = service.options_of(cls, runtime), service.resources
        gpus = int((resources.gpu or {}).get("count", 1)) if resources.gpu else 0
        return msgspec.structs.replace(
            limits,
            memory=resources.memory if limits.memory is None else limits.memory,
            cpus=resources.cpu if limits.cpus is None else limits.cpus,
            gpus=gpus if limits.gpus is None else limits.gpus,
        )

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes."""
        return None if self.memory is None else int(self.memory * _GB)

    @property
    def oom_score(self) -> int:
        """What the container's processes have in oom_score_adj: more than the engine, which is to survive."""
        return min(max(_own_oom_score(), 0) + _OOM_RAISE, _HIGHEST_OOM_SCORE)

    @property
    def tmp_bytes(self) -> int:
        """The size of /tmp in bytes."""
        return self.tmp_size * _MIB

    @property
    def shm_bytes(self) -> int:
        """The size of /dev/shm in bytes."""
        return self.shm_size * _MIB

    def describe(self) -> dict[str, Any]:
        """Return the limits as status.json shows them."""
        fields = msgspec.structs.asdict(self)
        fields["user"] = self.user or f"the image's own, or {_NOBODY} where that is root"
        fields["capabilities"] = list(self.capabilities)
        return fields

    def user_of(self, image_user: str, is_root: bool) -> str:
        """Return the user that a program runs as, given the image's one, and whether that is root."""
        return self.user or (_NOBODY if is_root else image_user)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """The parameters of a container that is to be created."""

    name: str
    image: str
    command: tuple[str, ...]
    """The command that replaces the image's own; empty for the image's own."""
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    reads: tuple[Mount, ...]
    """What is mounted read-only."""
    writes: tuple[Mount, ...]
    """What is mounted for writing."""
    user: str
    limits: Limits
    init: bool
    """Whether the container engine puts an init of its own before the command."""


def unless_set(variables: Collection[str]) -> dict[str, str]:
    """Return the environment that a container has unless its image sets these variables itself."""
    return {name: value for name, value in _ENVIRONMENT.items() if name not in variables}


def _own_oom_score() -> int:
    try:
        return int(Path("/proc/self/oom_score_adj").read_text("ascii"))
    except OSError:
        return 0


def container_name(attempt: Attempt) -> str:
    """Return the unique name of an attempt's container."""
    return f"treadle-{attempt.spool_id[:8]}-{attempt.job.id}-{attempt.number}"


def labels(attempt: Attempt) -> dict[str, str]:
    """Return the labels of an attempt's container."""
    return {SPOOL: attempt.spool_id, JOB: attempt.job.id, ATTEMPT: str(attempt.number)}
