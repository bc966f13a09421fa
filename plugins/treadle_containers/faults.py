"""Errors of container engines, translated into errors that a user can act on."""

from __future__ import annotations

import re

from treadle import StartError, Unavailable
from treadle_containers.engine import ContainerEngine, EngineError, EngineUnreachable, NoSuchImage

_FAULTS: tuple[tuple[str, str, str], ...] = (
    (
        "NO_SPACE",
        r"no space left on device|disk quota exceeded",
        "the container engine's disk is full: free some space",
    ),
    (
        "ENTRYPOINT_NOT_EXECUTABLE",
        r"permission denied|exec format error",
        "the program can't be executed in the image: check its mode, its architecture and the user",
    ),
    (
        "ENTRYPOINT_NOT_FOUND",
        r"executable file .*not found|no such file or directory|no command (specified|or entrypoint)",
        "the image has no such program: check its ENTRYPOINT, or `command` in treadle.toml",
    ),
    (
        "GPU_NOT_AVAILABLE",
        r"could not select device driver|nvidia|unresolvable CDI|gpu",
        "this host can't give a container the GPU that the service asks for",
    ),
)
"""Error code, pattern of the engine's message, and remedy; the first match counts."""

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
    for code, pattern, remedy in _FAULTS:
        if re.search(pattern, str(error), re.IGNORECASE):
            return StartError(code, f"{remedy}. {engine.name} says: {error}")
    return StartError("CONTAINER_NOT_STARTED", f"{engine.name} says: {error}")
