"""The options of a container, as podman-py's `create` takes them."""

from __future__ import annotations

from typing import Any

from treadle_containers import ContainerSpec

_CPU_PERIOD = 100_000
"""Microseconds."""


def options_of(spec: ContainerSpec) -> dict[str, Any]:
    """Return the keyword arguments of `create`, without image and command."""
    limits = spec.limits
    tmp = {"type": "tmpfs", "target": "/tmp", "size": limits.tmp_bytes, "mode": "1777"}  # noqa: S108  # the container's own
    options: dict[str, Any] = {
        "name": spec.name,
        "labels": dict(spec.labels),
        "environment": dict(spec.environment),
        "user": spec.user,
        "network_mode": limits.network,
        "cap_drop": ["ALL"],
        "cap_add": list(limits.capabilities),
        "no_new_privileges": not limits.new_privileges,
        "read_only": not limits.writable_root,
        "read_write_tmpfs": False,
        "log_config": {"Type": "k8s-file"},
        "shm_size": limits.shm_bytes,
        "init": spec.init,
        "pids_limit": limits.pids,
        "oom_score_adj": limits.oom_score,
        "mounts": [tmp, *_binds(spec)],
    }
    if limits.memory_bytes is not None:
        options |= {"mem_limit": limits.memory_bytes, "memswap_limit": limits.memory_bytes}
    if limits.cpus is not None:
        options |= {"cpu_period": _CPU_PERIOD, "cpu_quota": int(limits.cpus * _CPU_PERIOD)}
    if limits.gpus:
        options["devices"] = [f"nvidia.com/gpu={number}" for number in range(limits.gpus)]
    return options


def _binds(spec: ContainerSpec) -> list[dict[str, Any]]:
    return [
        {"type": "bind", "source": str(mount.source), "target": mount.target, "read_only": read_only}
        for mounts, read_only in ((spec.reads, True), (spec.writes, False))
        for mount in mounts
    ]
