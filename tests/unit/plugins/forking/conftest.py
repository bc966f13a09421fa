"""What the tests of the fork server share: one service, and jobs of it that are run one by one."""

from __future__ import annotations

import json

import psutil
import pytest

from tests.unit.plugins.forking.processes import supervisor_of
from tests.unit.plugins.on_host import PythonOnHost
from treadle import Attempt, Service
from treadle.testing import make_attempt


@pytest.fixture
def project(tmp_path):
    (tmp_path / "project" / "src").mkdir(parents=True)
    (tmp_path / "project" / "src" / "__init__.py").touch()
    return tmp_path / "project"


@pytest.fixture
async def runtime():
    runtime = PythonOnHost("namespace", idle=0.2)
    yield runtime
    await runtime.close()


@pytest.fixture
def run(project, tmp_path, runtime):
    """Run a program as the next job of the one service and return what it returned."""
    numbers = iter(range(1000))

    async def run(
        program: str | None,
        by: PythonOnHost | None = None,
        environment: dict[str, str] | None = None,
        entrypoint: str | None = None,
        **options: object,
    ) -> object:
        attempt = make(program, environment, entrypoint, **options)
        await (by or runtime).start(attempt)
        exit_ = await (by or runtime).wait(attempt)
        assert exit_.returned is not None, (exit_, attempt.stderr.read_text())
        return json.loads(exit_.returned.read_bytes())

    def make(
        program: str | None,
        environment: dict[str, str] | None = None,
        entrypoint: str | None = None,
        **options: object,
    ) -> Attempt:
        number = next(numbers)
        if program is not None:
            (project / "src" / f"job{number}.py").write_text(program)
        service = Service(
            "test",
            project,
            entrypoint=entrypoint or f"src.job{number}:run",
            options=options,
            environment=environment or {},
        )
        return make_attempt(tmp_path / "spool", service=service, job=str(number))

    run.attempt, run.folder = make, tmp_path / "spool" / "run"
    return run


@pytest.fixture
def supervise(run, runtime):
    """Run a job that does nothing and return the process of its supervisor."""

    async def supervise() -> psutil.Process:
        attempt = run.attempt("def run():\n    return 1\n")
        await runtime.start(attempt)
        assert (await runtime.wait(attempt)).returned is not None
        return psutil.Process(supervisor_of(attempt))

    return supervise
