"""How a container is made: for which user, and with which init."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.engines import need
from tests.images import IMAGE
from tests.unit.plugins.containers.attempts import ids, run, start
from treadle import Reason
from treadle.testing import eventually
from treadle_containers.record import Record
from treadle_podman import PodmanEngine, PodmanRuntime

_TOOR = f"""FROM {IMAGE}
RUN mkdir -p /etc && echo 'toor:x:0:0::/:/bin/sh' > /etc/passwd
USER toor
"""


@pytest.fixture
async def toor(kind, tmp_path):
    """An image whose user has another name than root, and its uid."""
    folder = tmp_path / "toor"
    folder.mkdir()
    (folder / "Dockerfile").write_text(_TOOR)
    await run(kind, "build", "--network", "none", "-t", "localhost/treadle-toor", str(folder))
    yield "localhost/treadle-toor"
    await run(kind, "rmi", "localhost/treadle-toor")


async def test_a_container_of_root_that_a_crash_left_unstarted_is_made_anew(runtime, kind, attempt, toor):
    """The crash came before the engine had looked up which uid the image's user has."""
    made = attempt("id -u", image=toor)
    record = Record(name=f"crashed-{made.spool_id}").write(made)
    await start(runtime, made)  # so the image's user is known
    await runtime.wait(made)
    await runtime.cleanup(made)
    name = Record.read(made).name
    made.stdout.unlink()
    label = f"treadle.spool={made.spool_id}"
    program = [toor, "/bin/sh", "-c", "id -u"]
    await run(kind, "create", "--network", "none", "--name", name, "--label", label, *program)
    Record(name=record.name).write(made)
    await start(runtime, made)
    await runtime.wait(made)
    assert made.stdout.read_bytes() == b"65534\n"
    await runtime.cleanup(made)
    assert ids(kind, made) == []


@pytest.fixture
def initless_url(tmp_path):
    """The URL of a Podman service that has no init for containers."""
    need("podman")
    if "TREADLE_PODMAN_SERVICE" not in os.environ:
        pytest.skip("TREADLE_PODMAN_SERVICE does not say how Podman's service is started")
    before = Path(os.environ["TREADLE_PODMAN_SERVICE"]).with_name("containers.conf").read_text()
    lines = [line for line in before.splitlines() if not line.startswith("init_path")]
    config = tmp_path / "containers.conf"
    config.write_text("\n".join([*lines, 'init_path = "/nothing/catatonit"']))
    url = f"unix://{tmp_path}/podman.sock"
    service = subprocess.Popen(
        [os.environ["TREADLE_PODMAN"], "system", "service", "--time=0", url],
        env={**os.environ, "TREADLE_CONTAINERS_CONF": str(config)},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    eventually((tmp_path / "podman.sock").exists, "Podman's service")
    yield url
    service.terminate()
    service.wait(20)


@pytest.fixture
async def initless(initless_url):
    runtime = PodmanRuntime(PodmanEngine(initless_url), stranger_grace=0)
    yield runtime
    await runtime.close()


async def test_an_engine_without_an_init_runs_containers_without_one(initless, attempt, caplog):
    for number in (1, 2):
        made = attempt(f"echo $$ {number}", number=number)
        await start(initless, made)
        exit_ = await initless.wait(made)
        assert (exit_.reason, exit_.code) == (Reason.ENDED, 0)
        assert made.stdout.read_text() == f"1 {number}\n"
        await initless.cleanup(made)
        made.stdout.unlink()
        (made.folder / "container.json").unlink()
    assert [each.message for each in caplog.records if "no init" in each.message][1:] == []
    assert "SIGTERM" in caplog.text
