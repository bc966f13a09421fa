"""The termination of a container: how it is stopped, and what its last state says about the attempt."""

from __future__ import annotations

from datetime import UTC, datetime

from treadle import Exit, Reason
from treadle_containers.engine import ContainerEngine, ContainerState
from treadle_containers.record import Record
from treadle_containers.spec import Limits

_SIGKILL_CODE = 137


async def stop_container(engine: ContainerEngine, container: str, grace: float) -> None:
    """Stop a running container, given its id or name; remove one that was never started."""
    state = await engine.inspect(container)
    if state is not None and state.running:
        await engine.stop(state.id, grace)
    elif state is not None and not state.started:
        await engine.remove(state.id)


def exit_of(state: ContainerState, limits: Limits, cut: bool, record: Record) -> Exit:
    """Return how an attempt ended; cut says whether its output was longer than the limit."""
    ended = state.ended or datetime.now(UTC)
    cut_detail = f"its output was cut at {limits.output_limit} bytes" if cut else ""
    if not state.started:
        return Exit(Reason.LOST, ended=ended, detail="its container was never started")
    if record.overflowed:
        detail = f"it printed more than the {limits.output_limit} bytes it may, and was ended"
        return Exit(Reason.OUTPUT_LIMIT, state.code, ended=ended, detail=detail)
    # Some kernels and engines do not report it: within a memory limit, a SIGKILL that Treadle did not send
    # counts as out of memory.
    killed = state.code == _SIGKILL_CODE and limits.memory is not None and not record.over
    if state.out_of_memory or killed:
        available = "there is" if limits.memory is None else f"the {limits.memory:g} GB it may use"
        detail = f"it was killed because it wanted more memory than {available}"
        return Exit(Reason.OUT_OF_MEMORY, state.code, ended=ended, detail=detail)
    return Exit(Reason.ENDED, state.code, ended=ended, detail=state.error or cut_detail or None)
