"""Errors of container engines, translated into errors that a user can act on."""

from __future__ import annotations

import errno
import os
import re

from treadle import StartError, Unavailable
from treadle_containers.engine import (
    ContainerEngine,
    EngineError,
    EngineUnreachable,
    NoSuchImage,
    NotBuilt,
    NotFetched,
    NotLoaded,
)

_NOT_EXECUTABLE = (
    "ENTRYPOINT_NOT_EXECUTABLE",
    "the program can't be executed in the image: check its mode, its architecture and the user",
)
_NOT_FOUND = (
    "ENTRYPOINT_NOT_FOUND",
    "the image has no such program, or not its interpreter: check its ENTRYPOINT, or `command` in "
    "treadle.toml",
)
_FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        "NO_SPACE",
        r"no space left on device|disk quota exceeded",
        "the container engine's disk is full: free some space",
    ),
    (
        "GPU_NOT_AVAILABLE",
        r"could not select device driver|nvidia-container-cli: |unresolvable CDI devices?|nvidia\.com/gpu=\d",
        "this host can't give a container the GPU that the service asks for",
    ),
    (
        _NOT_EXECUTABLE[0],
        r"exec: .*permission denied|exec format error|crun: open executable",
        _NOT_EXECUTABLE[1],
    ),
    (
        _NOT_FOUND[0],
        r"executable file .*not found|exec: .*no such file or directory|no command (specified|or entrypoint)",
        _NOT_FOUND[1],
    ),
)
"""Error code, pattern of the engine's message at a start, and remedy; the first match counts.

A pattern is of the engine's own words: a message may quote the service's, such as an image's name.
"""

_INIT_CODES = frozenset({1, 126, 127})
_INIT_SAYS = re.compile(
    rb"\A(?:\[FATAL tini \(\d+\)\] exec .* failed|ERROR \(catatonit:\d+\): failed to exec pid1): (.+)$",
    re.MULTILINE,
)
"""What an init writes to stderr instead of the program; the first group is the system's error."""

_IMAGE_FAULTS: tuple[tuple[type[EngineError], str], ...] = (
    (NotFetched, "NO_SUCH_IMAGE"),
    (NotLoaded, "IMAGE_NOT_LOADED"),
    (NotBuilt, "IMAGE_NOT_BUILT"),
)

_INTERRUPTED = re.compile(
    r"no logs from conmon|conmon exited prematurely"  # Podman: its monitor reported nothing
    r"|write child: broken pipe"  # Podman: its monitor ended before Podman told it to continue
    r"|failed to start shim"  # Docker: containerd's shim ended, or a killed one is still being removed
    r"|ttrpc: closed|shim disconnected"  # Docker: the shim ended before Docker told it to continue
    r"|signal: killed",  # both: the OCI runtime was killed
    re.IGNORECASE,
)


def broken_off(error: EngineError) -> bool:
    """Return whether a start failed because a process that takes part in it was killed.

    Such a failure is no fault of the container. It is unknown then whether the program has begun.
    """
    return _INTERRUPTED.search(str(error)) is not None


def start_error(engine: ContainerEngine, error: EngineError) -> StartError:
    """Return the reason why an attempt could not be started, and what to do about it."""
    if isinstance(error, EngineUnreachable):
        return StartError("ENGINE_UNREACHABLE", f"{error}. {engine.remedy()}")
    if isinstance(error, NoSuchImage):
        return Unavailable("NO_SUCH_IMAGE", str(error))
    for kind, code in _IMAGE_FAULTS:
        if isinstance(error, kind):
            return StartError(code, str(error))
    for code, pattern, remedy in _FAULTS:
        if re.search(pattern, str(error), re.IGNORECASE):
            return StartError(code, f"{remedy}. {engine.name} says: {error}")
    return StartError("CONTAINER_NOT_STARTED", f"{engine.name} says: {error}")


def init_error(code: int, stderr: bytes) -> StartError | None:
    """Return why an init could not execute the program, given its exit code and what it printed; else None.

    Without an init the container engine tells that itself.
    """
    if code not in _INIT_CODES or (said := _INIT_SAYS.match(stderr)) is None:
        return None
    is_missing = os.strerror(errno.ENOENT).encode() in said[1]
    fault, remedy = _NOT_FOUND if is_missing else _NOT_EXECUTABLE
    return StartError(fault, f"{remedy}. The container's init says: {said[0].decode('utf-8', 'replace')}")
