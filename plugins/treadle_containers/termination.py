"""The termination of a container: how it is stopped, and what its last state says about the attempt."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from treadle import Exit, Reason
from treadle_containers.engine import ContainerEngine, ContainerState, EngineError, EngineUnreachable
from treadle_containers.record import Record
from treadle_containers.spec import SPOOL, Limits

log = logging.getLogger(__name__)

_SIGKILL_CODE = 137


async def stop_container(engine: ContainerEngine, container: str, spool_id: str, grace: float) -> None:
    """Stop a running container of the spool, given its id or name; remove one that was never started."""
    state = await engine.inspect(container)
    if state is None or state.labels.get(SPOOL) != spool_id:
        return
    if state.running:
        await engine.stop(state.id, grace)
    elif not state.started:
        await engine.remove(state.id)


async def discard_container(engine: ContainerEngine, container: str, spool_id: str) -> None:
    """Remove a container of the spool, given its id or name, and whatever its state: it is not alive then.

    An engine that can't remove it is forgiven if it does not run. Raises EngineError.
    """
    state = await engine.inspect(container)
    if state is None or state.labels.get(SPOOL) != spool_id:
        return
    try:
        await engine.remove(state.id)
    except EngineUnreachable:
        raise
    except EngineError as error:
        if (state := await engine.inspect(state.id)) is not None and state.running:
            raise
        log.warning("container %s has ended, and can't be removed: %s", container[:12], error)


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
        surely = "" if state.out_of_memory else "probably "
        detail = f"it was {surely}killed because it wanted more memory than {available}"
        return Exit(Reason.OUT_OF_MEMORY, state.code, ended=ended, detail=detail)
    return Exit(Reason.ENDED, state.code, ended=ended, detail=state.error or cut_detail or None)
