"""A container's config, as Docker's API takes it."""

from __future__ import annotations

from typing import Any

from treadle_containers import ContainerSpec

_NANO = 1_000_000_000
_MIN_LOG_SIZE = 16 * 1024 * 1024
_LOG_SIZE_FACTOR = 2
"""Docker rotates a log at this multiple of the output limit, so that a log can't fill the disk."""


def config_of(spec: ContainerSpec) -> dict[str, Any]:
    """Return the body of a request to create a container."""
    limits, size = spec.limits, max(_MIN_LOG_SIZE, spec.limits.output_limit * _LOG_SIZE_FACTOR)
    host_config: dict[str, Any] = {
        "NetworkMode": limits.network,
        "CapDrop": ["ALL"],
        "CapAdd": list(limits.capabilities),
        "ReadonlyRootfs": not limits.writable_root,
        "Tmpfs": {"/tmp": f"rw,exec,nosuid,nodev,size={limits.tmp_bytes},mode=1777"},  # noqa: S108  # the container's own
        "ShmSize": limits.shm_bytes,
        "Init": spec.init,
        "PidsLimit": limits.pids,
        "OomScoreAdj": limits.oom_score,
        "Mounts": _mounts(spec),
        # The default log driver replaces bytes that are not UTF-8.
        "LogConfig": {
            "Type": "local",
            "Config": {"max-size": str(size), "max-file": "2", "compress": "false"},
        },
    }
    if not limits.new_privileges:
        host_config["SecurityOpt"] = ["no-new-privileges"]
    if limits.memory_bytes is not None:
        host_config |= {"Memory": limits.memory_bytes, "MemorySwap": limits.memory_bytes}
    if limits.cpus is not None:
        host_config["NanoCpus"] = int(limits.cpus * _NANO)
    if limits.gpus:
        host_config["DeviceRequests"] = [{"Driver": "", "Count": limits.gpus, "Capabilities": [["gpu"]]}]
    config: dict[str, Any] = {
        "Image": spec.image,
        "Env": [f"{name}={value}" for name, value in spec.environment.items()],
        "Labels": dict(spec.labels),
        "User": spec.user,
        "HostConfig": host_config,
    }
    if spec.command:
        config["Cmd"] = list(spec.command)
    return config


def _mounts(spec: ContainerSpec) -> list[dict[str, Any]]:
    return [
        {"Type": "bind", "Source": str(mount.source), "Target": mount.target, "ReadOnly": read_only}
        for mounts, read_only in ((spec.reads, True), (spec.writes, False))
        for mount in mounts
    ]
