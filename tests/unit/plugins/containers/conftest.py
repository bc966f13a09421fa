"""Container runtimes over the engines of this host."""

from __future__ import annotations

import pytest

from tests.engines import CONTAINERS, need
from tests.images import IMAGE
from treadle import Attempt, Service
from treadle.testing import make_attempt
from treadle_docker import DockerEngine, DockerRuntime
from treadle_podman import PodmanEngine, PodmanRuntime

MADE = {"docker": (DockerRuntime, DockerEngine), "podman": (PodmanRuntime, PodmanEngine)}


@pytest.fixture(params=CONTAINERS)
def kind(request):
    need(request.param)
    return request.param


@pytest.fixture
async def runtime(kind):
    make, engine = MADE[kind]
    runtime = make(engine(), stranger_grace=0)
    yield runtime
    await runtime.close()


@pytest.fixture
def attempt(tmp_path):
    """Return an attempt of a shell script."""

    def make(script: str = "echo once", number: int = 1, **options: object) -> Attempt:
        chosen = {"image": IMAGE, "command": ["/bin/sh", "-c", script], **options}
        service = Service(name="test", path=tmp_path, options=chosen)
        return make_attempt(tmp_path, service=service, number=number)

    return make
