"""What tests share that start servers."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hypothesis
import pytest

from tests.acceptance.server import Server

# A program has a /tmp of its own, and many tests look at what a program writes to their folders.
os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/var/tmp")  # pytest makes a folder of this user there

hypothesis.settings.register_profile("treadle", deadline=None)  # no test fails for a slow machine
hypothesis.settings.load_profile("treadle")

# A shell's background job ignores them, and what the tests start and interrupt would inherit that.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)


def _servers(folder: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*arguments: str | os.PathLike[str]) -> Server:
        servers.append(Server(folder / "spool", [str(each) for each in arguments]).start())
        return servers[-1]

    yield start
    with ExitStack() as stack:  # all are stopped first, and one that does not end leaves no other one alive
        for server in servers:
            stack.callback(server.end_programs)
        for server in servers:
            stack.callback(_stop, server)


def _stop(server: Server) -> None:
    if server.process is not None and server.process.poll() is None:
        server.stop()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers on one spool below tmp_path; they are stopped at the end of the test."""
    yield from _servers(tmp_path)


@pytest.fixture
def serve_at() -> Iterator[Callable[..., Server]]:
    """Start servers on the spool in a folder that is given, each on one of its own."""
    with ExitStack() as stack:
        yield lambda folder, *rest: stack.enter_context(contextmanager(_servers)(folder))(*rest)


@pytest.fixture(scope="module")
def module_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start servers, each on a spool of its own, that all tests of a module share."""
    with ExitStack() as stack:

        def start(*arguments: str | os.PathLike[str]) -> Server:
            return stack.enter_context(contextmanager(_servers)(tmp_path_factory.mktemp("served")))(
                *arguments
            )

        yield start


@pytest.fixture(scope="session")
def needs_strace() -> None:
    """Skip the test where there is no strace."""
    if shutil.which("strace") is None:
        pytest.skip("there is no strace on this host")


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write a service project with the given program and treadle.toml."""

    def write(program: str, toml: str = "", name: str = "service") -> Path:
        path = tmp_path / "projects" / name
        (path / "src").mkdir(parents=True)
        (path / "src" / "__init__.py").touch()
        (path / "src" / "program.py").write_text(program)
        (path / "planqk.json").write_text(json.dumps({"name": name, "runtime": "PYTHON_TEMPLATE"}))
        if toml:
            (path / "treadle.toml").write_text(toml)
        return path

    return write
