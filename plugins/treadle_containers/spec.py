"""The specification of an attempt's container: its image, its input, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from treadle import Attempt, Service, ServiceError

INPUT = "/var/input"
"""Where a program finds data.json and params.json (Runtime Interface, "Custom Docker Container", "Input")."""

SPOOL, JOB, ATTEMPT = "treadle.spool", "treadle.job", "treadle.attempt"
"""The labels of an attempt's container."""

_NOBODY = "65534:65534"
_GB = 1000**3
_MIB = 1024**2


@dataclass(frozen=True, slots=True)
class Limits:
    """What an attempt's container may do and use: least privilege, unless its service asks for more."""

    OPTIONS: ClassVar[Mapping[str, type | tuple[type, ...]]] = {
        "network": str,
        "user": str,
        "capabilities": list,
        "new_privileges": bool,
        "writable_root": bool,
        "tmp_size": int,
        "pids": int,
        "memory": (int, float),
        "cpus": (int, float),
        "gpus": int,
        "output_limit": int,
    }

    network: str = "none"
    user: str | None = None
    """None for the image's own user, or for `nobody` if that is root."""
    capabilities: tuple[str, ...] = ()
    new_privileges: bool = False
    writable_root: bool = False
    tmp_size: int = 256
    """The size of /tmp in MiB; it is in memory."""
    pids: int = 1024
    memory: float | None = None
    """In GB, swap included."""
    cpus: float | None = None
    gpus: int = 0
    output_limit: int = 256 * _MIB
    """Bytes of standard output, and as many of standard error."""

    @classmethod
    def of(cls, service: Service) -> Limits:
        """Return the limits of a service: from its treadle.toml, else its planqk.json, else the defaults.

        Raises ServiceError for a value that makes no sense.
        """
        resources, options = service.resources, service.options
        gpus = int((resources.gpu or {}).get("count", 1)) if resources.gpu else 0
        stated: dict[str, Any] = {"memory": resources.memory, "cpus": resources.cpu, "gpus": gpus}
        stated |= {name: options[name] for name in cls.OPTIONS if name in options}
        stated["capabilities"] = tuple(stated.get("capabilities", ()))
        limits = cls(**stated)
        for name in ("tmp_size", "pids", "memory", "cpus", "output_limit"):
            if (value := getattr(limits, name)) is not None and not value > 0:
                raise ServiceError(f"{service.path}: {name} must be greater than 0, not {value!r}")
        if not all(isinstance(each, str) for each in limits.capabilities):
            raise ServiceError(f"{service.path}: capabilities must be a list of names, such as 'SYS_NICE'")
        return limits

    @property
    def memory_bytes(self) -> int | None:
        """The memory limit in bytes."""
        return None if self.memory is None else int(self.memory * _GB)

    @property
    def tmp_bytes(self) -> int:
        """The size of /tmp in bytes."""
        return self.tmp_size * _MIB

    def describe(self) -> dict[str, Any]:
        """Return the limits as status.json shows them."""
        fields = asdict(self)
        fields["user"] = self.user or f"the image's own, or {_NOBODY} where that is root"
        fields["capabilities"] = list(self.capabilities)
        return fields

    def user_of(self, image_user: str) -> str:
        """Return the user that a program runs as; image_user is the one that its image names."""
        name = image_user.split(":", maxsplit=1)[0]
        return self.user or (image_user if name not in {"", "0", "root"} else _NOBODY)


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """The parameters of a container that is to be created."""

    name: str
    image: str
    command: tuple[str, ...]
    """The command that replaces the image's own; empty for the image's own."""
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    input: Path
    """The folder on this host that is mounted read-only at INPUT."""
    user: str
    limits: Limits


def container_name(attempt: Attempt) -> str:
    """Return the unique name of an attempt's container."""
    return f"treadle-{attempt.spool_id[:8]}-{attempt.job.id}-{attempt.number}"


def labels(attempt: Attempt) -> dict[str, str]:
    """Return the labels of an attempt's container."""
    return {SPOOL: attempt.spool_id, JOB: attempt.job.id, ATTEMPT: str(attempt.number)}
