"""Images, and programs in them, that do what they like where folders are mounted: it harms nobody."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.server import eventually
from tests.images import IMAGE, client

_PRINTS = 'CMD ["/bin/sh", "-c", "echo PlanQK:Job:Result: $(cat /var/input/data.json)"]'


@pytest.fixture
def image(engine, serve, tmp_path):
    """Serve an image with these lines of a Dockerfile; user and root file system are as its author likes."""

    def start(*lines: str, toml: str = ""):
        folder = tmp_path / "image"
        folder.mkdir()
        (folder / "Dockerfile").write_text("\n".join((f"FROM {IMAGE}", *lines)))
        keys = ['name = "image"', f'runtime = "{engine}"', 'user = "0:0"', "writable_root = true", toml]
        (folder / "treadle.toml").write_text("\n".join(keys))
        (tmp_path / "engine.toml").write_text("grace = 1\n")
        return serve(folder, "--config", tmp_path / "engine.toml")

    return start


def volumes(engine: str) -> set[str]:
    """Return the names of the volumes; Podman may fail to list one that is being removed."""
    command = [client(engine), "volume", "ls", "-q"]

    def listed() -> subprocess.CompletedProcess[str] | None:
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        return None if ran.returncode else ran

    return set(eventually(listed, "the list of volumes").stdout.split())


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


@pytest.mark.parametrize(
    "made",
    [
        "ln -s /etc /var/input",
        "ln -s /proc/1/root/etc /var/input",
        "ln -s input /var/input",
        "mkfifo /var/input",
        "mkdir -p /var/input/data.json && mkfifo /var/input/params.json",
    ],
)
def test_whatever_an_image_has_in_the_place_of_the_input_its_job_ends(image, made):
    before = names(Path("/etc"))
    server = image(f"RUN {made}", _PRINTS)
    job = server.submit({"n": 1})
    ended = server.ended(job)
    if ended["status"] == "SUCCEEDED":
        assert server.result(job) == {"n": 1}
    else:  # the container engine refuses to mount there
        assert server.status(job)["attempts"][0]["reason"] == "not-started", server.status(job)
        assert "says" in server.result(job)["detail"]
    assert names(Path("/etc")) == before
    assert not {"data.json", "params.json"} & names(Path("/"))
    assert json.loads((server.spool / "done" / job / "input" / "data.json").read_bytes()) == {"n": 1}


_SPOILS = """
mount -o remount,rw,bind /var/input || mount -o remount,rw /var/input
cd /var/input && rm -f data.json params.json && mkdir -p data.json/full && mkfifo params.json
ln -s /etc/passwd link; ln -s link more; mkfifo fifo; ln -s . here; mkdir deep
(cd deep; for i in $(seq 300); do mkdir d; cd d; done); chmod 000 . deep
echo spoiled
exec sleep 600
"""


def test_a_program_that_spoils_its_input_is_adopted_and_cancelled_all_the_same(image):
    """It has been given the right to mount, so that it can write where it may only read."""
    command = json.dumps(["/bin/sh", "-c", _SPOILS])
    server = image(f"CMD {command}", toml='capabilities = ["SYS_ADMIN", "DAC_OVERRIDE"]')
    job = server.submit({"n": 1})
    log, given = (server.spool / "run" / job / name for name in ("stdout.log", "input"))
    eventually(lambda: log.exists() and "spoiled" in log.read_text(), "the program's work")
    if os.geteuid() == 0:  # the folder has mode 0
        assert (given / "data.json" / "full").is_dir()
    server.kill()
    server.start()
    eventually((given / "data.json").is_file, "the input as it was")
    assert (given / "data.json").read_bytes() == b'{"n": 1}'
    assert server.ask("GET", f"/{job}").json["status"] == "RUNNING"
    server.ask("PUT", f"/{job}/cancel")
    assert server.ended(job)["status"] == "CANCELLED"
    assert server.ask("GET", "/").status == 200


def test_the_volumes_that_an_image_declares_go_with_the_container(image, engine):
    before = volumes(engine)
    server = image("VOLUME /data", "VOLUME /var/input", _PRINTS)
    assert server.result(server.submit({"n": 1})) == {"n": 1}
    eventually(lambda: volumes(engine) <= before, "the removal of the volumes")
