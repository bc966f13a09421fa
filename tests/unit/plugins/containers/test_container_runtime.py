"""A container runtime over real engines: a container is started once, adopted, and removed in the end."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from podman.api.client import APIClient, APIResponse
from podman.errors import APIError
from requests import Response

from tests.engines import need
from tests.images import IMAGE
from tests.unit.plugins.containers.attempts import ids, run, start
from treadle import Reason, Unavailable
from treadle.testing import until
from treadle_containers import Container
from treadle_containers.record import Record
from treadle_podman import PodmanEngine, PodmanRuntime


async def test_starting_again_adopts_the_container(runtime, kind, attempt):
    made = attempt()
    for _ in range(3):
        await start(runtime, made)
    exit_ = await runtime.wait(made)
    await start(runtime, made)
    assert (exit_.reason, exit_.code) == (Reason.ENDED, 0)
    assert (await runtime.wait(made)).code == 0
    assert made.stdout.read_bytes() == b"once\n"
    await runtime.cleanup(made)
    await runtime.cleanup(made)
    assert ids(kind, made) == []


async def test_a_container_that_was_made_and_not_started_is_started_once(runtime, kind, attempt):
    made = attempt()
    await start(runtime, made)
    await runtime.wait(made)
    await runtime.cleanup(made)
    record = Record.read(made)
    for name in ("container.json", "stdout.log", "stderr.log"):
        (made.folder / name).unlink()
    # The state after a crash between the creation of the container and the record of its id.
    Record(name=record.name).write(made)
    label = f"treadle.spool={made.spool_id}"
    program = [IMAGE, "/bin/sh", "-c", "echo once"]
    await run(kind, "create", "--network", "none", "--name", record.name, "--label", label, *program)
    await start(runtime, made)
    await start(runtime, made)
    assert (await runtime.wait(made)).code == 0
    assert made.stdout.read_bytes() == b"once\n"
    await runtime.cleanup(made)


async def test_a_container_whose_start_may_have_been_asked_for_before_is_lost_if_it_is_refused(
    runtime, kind, attempt
):
    """What an interrupted start leaves refuses the next one, with any message at all."""
    made = attempt()
    record = Record(name=f"refused-{uuid4()}").write(made)
    label = f"treadle.spool={made.spool_id}"
    created = await run(
        kind, "create", "--network", "none", "--name", record.name, "--label", label, IMAGE, "/no/program"
    )
    msgspec.structs.replace(record, id=created.strip()).write(made)
    await start(runtime, made)
    assert ids(kind, made) == []
    assert (await runtime.wait(made)).reason is Reason.LOST
    await runtime.cleanup(made)


async def test_a_container_that_podman_was_killed_over_making_is_made_anew(attempt, tmp_path):
    need("podman")
    runtime = PodmanRuntime(PodmanEngine(), stranger_grace=0)
    made = attempt()
    await start(runtime, made)
    await runtime.wait(made)
    await runtime.cleanup(made)
    name = Record.read(made).name
    for each in ("container.json", "stdout.log", "stderr.log"):
        (made.folder / each).unlink()
    # Podman creates a container in its storage first, then in its database. The database is set back.
    root = (await run("podman", "info", "--format", "{{.Store.GraphRoot}}")).strip()
    database = Path(root, "libpod", "bolt_state.db")
    before = shutil.copyfile(database, tmp_path / "before")
    await run("podman", "create", "--network", "none", "--name", name, IMAGE, "true")
    shutil.copyfile(before, database)
    assert ids("podman", made) == []
    await start(runtime, made)
    assert (await runtime.wait(made)).code == 0
    assert made.stdout.read_bytes() == b"once\n"
    await runtime.cleanup(made)
    assert name not in await run("podman", "ps", "--all", "--external")
    await runtime.close()


async def test_an_attempt_that_was_given_up_is_never_started(runtime, kind, attempt):
    made = attempt()
    assert (await runtime.wait(made)).reason is Reason.LOST
    await start(runtime, made)
    assert ids(kind, made) == []


async def test_a_stop_before_the_start_keeps_it_from_starting(runtime, kind, attempt):
    made = attempt()
    await runtime.stop(made, 1)
    await start(runtime, made)
    assert ids(kind, made) == []


async def test_a_container_that_is_removed_from_outside_is_not_run_again(runtime, kind, attempt):
    made = attempt("echo waits; sleep 600")
    await start(runtime, made)
    waiting = asyncio.create_task(runtime.wait(made))
    await until(lambda: made.stdout.exists() and made.stdout.stat().st_size, "the log, which wait copies")
    await run(kind, "rm", "-f", *ids(kind, made))
    exit_ = await waiting
    assert (exit_.reason, exit_.code) in {(Reason.LOST, None), (Reason.ENDED, 137), (Reason.ENDED, 143)}
    await start(runtime, made)
    assert ids(kind, made) == []


async def test_containers_that_belong_to_no_live_attempt_are_removed(runtime, kind, attempt):
    made = attempt("sleep 600")
    await start(runtime, made)
    await runtime.tidy(made.spool_id, lambda job, number: (job, number) == ("job", 1))
    assert len(ids(kind, made)) == 1
    await runtime.tidy("another", lambda *_: False)
    assert len(ids(kind, made)) == 1
    await runtime.tidy(made.spool_id, lambda *_: False)
    assert ids(kind, made) == []


async def test_the_intent_is_recorded_before_anything_is_made(runtime, attempt, monkeypatch):
    made = attempt()
    recorded = []

    async def create(spec):
        recorded.append((spec.name, json.loads((made.folder / "container.json").read_bytes())["name"]))
        raise asyncio.CancelledError

    monkeypatch.setattr(runtime._engine, "create", create)
    with pytest.raises(asyncio.CancelledError):
        await start(runtime, made)
    assert recorded[0][0] == recorded[0][1]


async def test_a_stop_in_the_middle_of_a_start_leaves_nothing(runtime, kind, attempt):
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1):
        made = attempt("sleep 600", output_limit=1000 + int(delay * 100))
        starting = asyncio.create_task(start(runtime, made))
        await asyncio.sleep(delay)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await runtime.stop(made, 0)
        await runtime.cleanup(made)
        assert ids(kind, made) == []
        (made.folder / "container.json").unlink()


async def test_an_image_that_was_removed_is_reported(runtime, attempt):
    made = attempt(image="localhost/no-such-image")
    with pytest.raises(Unavailable, match="nothing is fetched") as caught:
        await start(runtime, made)
    assert caught.value.code == "NO_SUCH_IMAGE"
    assert await runtime.missing(made.service) == str(caught.value)
    assert await runtime.missing(attempt("true").service) is None


@pytest.fixture
async def podman():
    need("podman")
    engine = PodmanEngine()
    yield engine
    await engine.close()


async def test_waiting_for_a_container_that_was_never_started_is_no_end(podman, attempt):
    """Podman's own wait returns 0 at once then."""
    runtime = PodmanRuntime(podman)
    made = attempt()
    record = await runtime._launcher.creation.create(made, await Container().command(made), resumed=False)
    state = await podman.wait(record.id)
    assert (state.running, state.started) == (False, False)
    assert (await runtime.wait(made)).reason is Reason.LOST
    await runtime.cleanup(made)


async def test_containers_are_found_by_their_label(podman, attempt):
    """With a mapping of labels podman-py finds none."""
    runtime = PodmanRuntime(podman)
    made = attempt()
    record = await runtime._launcher.creation.create(made, await Container().command(made), resumed=False)
    containers = await podman.containers("treadle.spool", made.spool_id)
    assert [each.id for each in containers] == [record.id]
    await runtime.cleanup(made)


async def test_a_container_of_which_something_is_in_use_is_removed_all_the_same(podman, attempt, monkeypatch):
    """Podman may respond with this error after its service was killed during a start."""
    runtime = PodmanRuntime(podman)
    made = attempt()
    await runtime._launcher.creation.create(made, await Container().command(made), resumed=False)
    delete, refused = APIClient.delete, []

    def refuse_twice(client, path, **options):
        if len(refused) == 2:
            return delete(client, path, **options)
        refused.append(path)
        explanation = "removing root filesystem: unlinkat shm: device or resource busy"
        raise APIError("500 Internal Server Error", response=Response(), explanation=explanation)

    monkeypatch.setattr(APIClient, "delete", refuse_twice)
    await runtime.cleanup(made)
    assert len(refused) == 2
    assert ids("podman", made) == []


async def test_a_container_that_ends_while_it_is_looked_at_is_looked_at_again(podman, attempt, monkeypatch):
    """Podman responds with an internal error then, until its monitor has reported the end."""
    runtime = PodmanRuntime(podman)
    made = attempt()
    get, response = APIClient.get, Response()
    response.status_code = 500
    response._content = b'{"message": "read /proc/15263/cgroup: no such process", "response": 500}'
    refused = []

    def refuse_twice(client, path, **options):
        if not path.endswith("/json") or len(refused) == 2:
            return get(client, path, **options)
        refused.append(path)
        return APIResponse(response)

    await start(runtime, made)
    monkeypatch.setattr(APIClient, "get", refuse_twice)
    assert (await runtime.wait(made)).reason is Reason.ENDED
    assert len(refused) == 2
    await runtime.cleanup(made)


async def test_memory_and_swap_together_are_limited(podman, attempt):
    """A memory limit alone allows the same amount of swap in addition."""
    runtime = PodmanRuntime(podman)
    made = attempt(memory=0.1)
    record = await runtime._launcher.creation.create(made, await Container().command(made), resumed=False)
    template = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}"
    shown = await run("podman", "inspect", record.id, "--format", template)
    assert shown.split() == ["100000000", "100000000"]
    await runtime.cleanup(made)


async def test_the_oom_killer_takes_a_container_before_the_engine(runtime, attempt):
    made = attempt("cat /proc/self/oom_score_adj")
    await start(runtime, made)
    await runtime.wait(made)
    assert int(made.stdout.read_text()) == min(max(own_score(), 0) + 500, 1000)
    await runtime.cleanup(made)


def own_score() -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())
