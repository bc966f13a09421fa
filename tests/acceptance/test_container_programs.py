"""What a program in a container finds, on each engine alike: its init, its folders in memory, its user."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.acceptance.scripts import script_project
from tests.acceptance.server import eventually
from tests.images import IMAGE

GRACE = 20
"""Seconds: a stop that takes half of it has waited for it."""


@pytest.fixture
def script(engine, serve, tmp_path):
    """Serve a shell script as a container."""

    def start(text: str, toml: str = "", name: str = "script"):
        return serve(script_project(tmp_path / name, engine, text, toml), "--grace", str(GRACE))

    return start


@pytest.fixture
def image(engine, serve, tmp_path):
    """Serve an image with these lines of a Dockerfile."""

    def start(*lines: str, toml: str = ""):
        folder = tmp_path / "image"
        folder.mkdir()
        (folder / "Dockerfile").write_text("\n".join((f"FROM {IMAGE}", *lines)))
        (folder / "treadle.toml").write_text(f'name = "image"\nruntime = "{engine}"\n{toml}')
        return serve(folder)

    return start


def output(server, job: str) -> str:
    server.ended(job)
    return (server.spool / "done" / job / "stdout.log").read_text()


# ---------------------------------------------------------------------- how it ends


def begun(server, job: str) -> None:
    log: Path = server.spool / "run" / job / "stdout.log"
    eventually(lambda: log.exists() and "begun" in log.read_text(), "its beginning")


def test_a_program_without_a_handler_is_cancelled_at_once(script):
    server = script("echo begun; exec sleep 600")
    job = server.submit()
    begun(server, job)
    start = time.monotonic()
    server.ask("PUT", f"/{job}/cancel")
    assert server.ended(job)["status"] == "CANCELLED"
    assert time.monotonic() - start < GRACE / 2


def test_a_program_without_a_handler_ends_at_its_timeout(script):
    server = script("exec sleep 600", "timeout = 1")
    start = time.monotonic()
    assert server.result(server.submit())["code"] == "TIMEOUT"
    assert time.monotonic() - start < GRACE / 2


def test_a_program_with_a_handler_is_asked_to_end(script):
    server = script("trap 'echo asked; exit 0' TERM; echo begun; while :; do sleep 0.05; done")
    job = server.submit()
    begun(server, job)
    server.ask("PUT", f"/{job}/cancel")
    assert "asked" in output(server, job)


@pytest.mark.parametrize("init", ["true", "false"])
@pytest.mark.parametrize(("ends", "code"), [("exit 3", 3), ("exit 127", 127), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_program_s_own(script, init, ends, code):
    if (init, code) == ("false", 137):
        ends = "exit 137"  # the first process of a container can't kill itself
    server = script(ends, f"init = {init}")
    assert server.result(server.submit())["code"] == f"EXIT_{code}"


def test_an_image_that_brings_its_own_init_is_the_first_process(script):
    server = script("echo $$", "init = false")
    assert output(server, server.submit()) == "1\n"


def test_without_saying_so_an_init_is_the_first_process(script):
    server = script("echo $$; (sleep 0.01 &); sleep 0.3; ps -o stat | grep -c Z")
    first, zombies = output(server, server.submit()).split()
    assert (first != "1", zombies) == (True, "0")


# ---------------------------------------------------------------------- what it finds


def test_what_is_written_to_tmp_can_be_executed(script):
    server = script("cp /bin/busybox /tmp/echo && /tmp/echo executed")
    assert output(server, server.submit()) == "executed\n"


@pytest.mark.parametrize(("toml", "size"), [("", 64), ("shm_size = 100", 100)])
def test_dev_shm_has_the_size_that_the_service_asks_for(script, toml, size):
    server = script("df -k /dev/shm | awk 'NR == 2 { print $2 }'", toml)
    assert output(server, server.submit()) == f"{size * 1024}\n"


@pytest.mark.parametrize(
    ("lines", "toml", "value"),
    [
        ([], "", "1"),
        (["ENV PYTHONUNBUFFERED="], "", ""),
        ([], '[environment]\nPYTHONUNBUFFERED = "x"', "x"),
    ],
)
def test_python_prints_at_once_unless_image_or_service_say_otherwise(image, lines, toml, value):
    server = image(*lines, 'CMD ["/bin/sh", "-c", "echo [$PYTHONUNBUFFERED]"]', toml=toml)
    assert output(server, server.submit()) == f"[{value}]\n"


def passwd(*entries: str, then: str = "true") -> list[str]:
    """Return the line of a Dockerfile that writes the users of an image."""
    lines = "".join(f"{entry}\\n" for entry in entries)
    return [f"RUN mkdir -p /etc && printf '{lines}' > /etc/passwd && {then}"]


@pytest.mark.parametrize(
    ("lines", "user", "uid"),
    [
        (passwd("toor:x:0:0::/:/bin/sh"), "toor", 65534),
        (passwd("root:x:5:5::/:/bin/sh"), "root", 5),
        (passwd("app:x:7:7::/:/bin/sh", "app:x:0:0::/:/bin/sh"), "app", 7),
        (passwd("toor:x:0:0::/:/bin/sh", then="mv /etc/passwd /p && ln -s ../p /etc/passwd"), "toor", 65534),
        ([], "00", 65534),
        ([], "+0:5", 65534),
        ([], "7:0", 7),
    ],
)
def test_an_image_s_user_is_never_root_by_whatever_name(image, lines, user, uid):
    server = image(*lines, f"USER {user}", 'CMD ["/bin/sh", "-c", "id -u"]')
    for _ in range(2):  # the second job knows it from the first
        assert output(server, server.submit()) == f"{uid}\n"


def test_a_service_may_ask_for_root(image):
    server = image(
        *passwd("toor:x:0:0::/:/bin/sh"), "USER toor", 'CMD ["/bin/sh", "-c", "id -u"]', toml='user = "toor"'
    )
    assert output(server, server.submit()) == "0\n"
