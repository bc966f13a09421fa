"""Where a container's image comes from, on each engine alike, and what is told where it can't be made."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from tests.acceptance.server import TREADLE
from tests.engines import need
from tests.images import IMAGE, client
from treadle.testing import eventually
from treadle_spool import Spool


@pytest.fixture
def project(engine, tmp_path):
    """Write a project with these lines of a Dockerfile after its first one, and return its folder."""

    def write(*lines: str, base: str = IMAGE, toml: str = "", file: str = "Dockerfile") -> Path:
        folder = tmp_path / "image"
        folder.mkdir(exist_ok=True)
        (folder / file).write_text("\n".join((f"FROM {base}", *lines, "")))
        (folder / "treadle.toml").write_text(f'name = "image"\nruntime = "{engine}"\n{toml}')
        return folder

    return write


def run(folder: Path) -> tuple[int, str]:
    """Run one job of a project without a server; return the exit code and what it printed."""
    command = [TREADLE, "run", folder]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def failure(folder: Path, code: str) -> str:
    """Run a job that fails with a code, and return all that is told."""
    exit_code, said = run(folder)
    assert exit_code == 1, said
    assert code in said
    return said


# ---------------------------------------------------------------------- what is built


def prints(command: str) -> str:
    """Return the line of a Dockerfile whose program has what a command prints as its result."""
    script = f"echo 'PlanQK:Job:Result: \"'$(echo $({command}))'\"'"
    return f"CMD {json.dumps(['/bin/sh', '-c', script])}"


_LISTS = prints("cd /here && find . | sort")


def names(said: str) -> set[str]:
    return set(re.findall(r"\./[^\s\"]+", said))


def client_lists(folder: Path) -> set[str]:
    """Return what Docker's own client takes into an image: it packs the context itself."""
    tag = "localhost/treadle-compared"
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    command = ["docker", "build", "-q", "--network", "none", "-t", tag, folder]
    subprocess.run(command, check=True, capture_output=True, env=environment)
    shown = subprocess.run(
        ["docker", "run", "--rm", "--network", "none", tag], check=True, capture_output=True, text=True
    )
    subprocess.run(["docker", "rmi", tag], check=True, capture_output=True)
    return names(shown.stdout)


_FILES = (
    "a/x",
    "b/x",
    "c/x",
    "m.key",
    "deep/er/m.key",
    "deep/keep/x",
    "secrets/one",
    "secrets/two",
    ".hidden/x",
)
_RULES = (
    "[a-b]\n",
    "./c\n/m.key\n",
    "a/../b\n*/er\n",
    "**/*.key\n!deep/er/m.key\n",
    "secrets\n!secrets/one\n",
    "*\n!deep/keep/x\n",
    "# a comment\n\n  c  \n\\[a-b]\n.hidden/\n?.key\n",
    "Dockerfile\n.dockerignore\nsecrets/*\n",
    "deep/**\n!deep/keep\n[^a]/x\n",
)


@pytest.mark.parametrize("rules", _RULES)
def test_what_is_ignored_is_what_docker_s_own_client_ignores(project, rules):
    need("docker")
    folder = project("COPY . /here", _LISTS)
    for name in _FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty" / "folder").mkdir(parents=True)
    (folder / "treadle.toml").chmod(0o644)
    (folder / ".dockerignore").write_text(rules)
    expected = client_lists(folder)
    code, said = run(folder)
    assert code == 0, said
    assert names(said) == expected - {"./.dockerignore"}


def test_an_empty_folder_is_in_the_image(project):
    folder = project("COPY . /here", prints("cd /here/empty/folder && pwd"))
    (folder / "empty" / "folder").mkdir(parents=True)
    code, said = run(folder)
    assert code == 0, said
    assert "/here/empty/folder" in said


def test_a_rule_that_is_not_valid_lets_nothing_into_an_image(project):
    folder = project("COPY . /here", _LISTS)
    (folder / ".dockerignore").write_text("secret[\n")
    assert "secret[" in failure(folder, "IMAGE_NOT_BUILT")


def test_a_containerfile_is_a_dockerfile(project):
    code, said = run(project(prints("echo contained"), file="Containerfile"))
    assert code == 0, said
    assert "contained" in said


# ---------------------------------------------------------------------- what is not


@pytest.mark.parametrize("lines", [["COPY nothing /x"], ["RUN echo once-upon-a-time; exit 3"]])
def test_a_build_that_fails_is_called_that_with_the_engine_s_last_lines(engine, project, lines):
    said = failure(project(*lines), "IMAGE_NOT_BUILT")
    assert f"{engine} says" in said
    assert ("nothing" if "COPY" in lines[0] else "once-upon-a-time") in said
    assert "ENTRYPOINT" not in said
    assert containers(engine) == ""


def containers(engine: str) -> str:
    """Return the containers that a build has left behind."""
    filters = ["--filter", f"ancestor={IMAGE}"]
    command = [client(engine), "ps", "-a", "-q", *filters]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("base", "lines", "missing"),
    [
        ("registry.invalid/no/base:1", [], "registry.invalid/no/base:1"),
        (IMAGE, ["COPY --from=registry.invalid/tools:2 /bin/sh /sh"], "registry.invalid/tools:2"),
        (
            f"{IMAGE} AS one\nFROM one\nFROM registry.invalid/x",
            ["COPY --from=one /bin /b"],
            "registry.invalid/x",
        ),
    ],
)
def test_no_registry_is_asked_for_a_base_image(engine, project, base, lines, missing):
    folder = project(*lines, base=base)
    for command in ("run", "build"):
        ran = subprocess.run([TREADLE, command, folder], capture_output=True, text=True, check=False)
        assert ran.returncode == 1
        assert f"builds on image '{missing}'" in ran.stderr
        assert f"{engine} load" in ran.stderr


def test_a_job_waits_until_the_base_image_is_there(engine, project, serve):
    base = f"localhost/treadle-base-{engine}:1"
    server = serve(project('CMD ["/bin/sh", "-c", "echo \'PlanQK:Job:Result: 1\'"]', base=base))
    server.drop("early.json", b'{"service": "image"}')
    eventually(lambda: server.ask("POST", "/", b"{}").status == 503, "the service is broken")
    assert base in server.ask("POST", "/", b"{}").json["detail"]
    subprocess.run([client(engine), "tag", IMAGE, base], check=True)
    assert json.loads((server.dropped("early") / "result.json").read_bytes()) == 1
    subprocess.run([client(engine), "rmi", base], check=True, capture_output=True)
    subprocess.run([TREADLE, "reload", "--spool", server.spool], check=True, capture_output=True)
    assert server.result(server.submit()) == 1  # the image is made, and needs its base no more


def test_a_base_image_is_fetched_where_the_service_says_so(engine, project):
    said = failure(project(base="registry.invalid/no/base:1", toml="pull = true\n"), "IMAGE_NOT_BUILT")
    assert "nothing is fetched" not in said


@pytest.mark.parametrize("line", ["RUN --mount=type=cache,target=/c true", "RUN <<EOF\ntrue\nEOF"])
def test_what_only_buildkit_knows_is_told_with_a_remedy(engine, project, line):
    folder = project(line, 'CMD ["/bin/echo", "built"]')
    if engine == "docker":
        said = failure(folder, "IMAGE_NOT_BUILT")
        assert "of BuildKit" in said
        assert "docker buildx build" in said
    elif "<<" not in line:  # Podman knows here-documents from version 4.5 on
        assert run(folder)[0] == 0


@pytest.fixture
def archived(engine, project):
    """Write a project with an archive of these images."""

    def write(*images: str, toml: str = "") -> Path:
        folder = project(toml=f'command = ["/bin/echo", "loaded"]\n{toml}')
        many = ["-m"] if engine == "podman" and len(images) > 1 else []
        command = [client(engine), "save", *many, "-o", str(folder / "image.tar"), *images]
        subprocess.run(command, check=True, capture_output=True)
        return folder

    return write


def other_image(engine: str, name: str) -> None:
    made = subprocess.run(
        [client(engine), "create", "--network", "none", IMAGE, "true"],
        check=True,
        capture_output=True,
        text=True,
    )
    container = made.stdout.strip()
    subprocess.run([client(engine), "commit", container, name], check=True, capture_output=True)
    subprocess.run([client(engine), "rm", container], check=True, capture_output=True)


def test_an_archive_with_two_images_is_refused(engine, archived):
    other = "localhost/treadle-other"
    other_image(engine, other)
    said = failure(archived(IMAGE, other), "IMAGE_NOT_LOADED")
    assert "2 images" in said
    assert other in said
    subprocess.run([client(engine), "rmi", other], check=True, capture_output=True)


def test_an_image_with_two_names_is_one(engine, archived):
    named = "localhost/treadle-named"
    subprocess.run([client(engine), "tag", IMAGE, named], check=True)
    code, said = run(archived(IMAGE, named))
    assert code == 0, said
    subprocess.run([client(engine), "rmi", named], check=True, capture_output=True)


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\x1f\x8b damaged"])
def test_an_archive_that_is_none_is_called_that(project, content):
    folder = project()
    (folder / "image.tar").write_bytes(content)
    assert "image.tar" in failure(folder, "IMAGE_NOT_LOADED")


def test_an_image_that_can_t_be_fetched_is_told_with_what_the_engine_says(engine, project):
    folder = project(toml='image = "registry.invalid/none:1"\npull = true\n')
    assert f"{engine} says" in failure(folder, "NO_SUCH_IMAGE")


# ---------------------------------------------------------------------- what a start says


@pytest.mark.parametrize("init", ["true", "false"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["/no/such/program"], "ENTRYPOINT_NOT_FOUND"),
        (["nvidia-smi"], "ENTRYPOINT_NOT_FOUND"),
        (["/var/input"], "ENTRYPOINT_NOT_EXECUTABLE"),
    ],
)
def test_a_program_that_can_t_be_executed_is_reported_with_and_without_an_init(project, init, command, code):
    failure(project(toml=f"command = {json.dumps(command)}\ninit = {init}\n"), code)


def test_a_gpu_that_the_host_does_not_have_is_reported(project):
    said = failure(project(toml='command = ["/bin/true"]\ngpus = 1\n'), "GPU_NOT_AVAILABLE")
    assert "says" in said


def test_a_failure_without_a_word_on_stderr_shows_what_was_printed(project):
    folder = project(toml='command = ["/bin/sh", "-c", "echo it went wrong here; exit 4"]\n')
    said = failure(folder, "EXIT_4")
    assert "it went wrong here" in said.replace("it went wrong here; exit 4", "")


def test_a_program_killed_under_a_memory_limit_probably_wanted_more(project):
    text = "echo last words >&2; exit 137"
    folder = project(toml=f'command = ["/bin/sh", "-c", "{text}"]\nmemory = 0.1\n')
    said = failure(folder, "OUT_OF_MEMORY")
    assert "probably" in said
    assert "last words" in said.replace(text, "")


# ---------------------------------------------------------------------- what stays


def images_of(engine: str, name: str) -> set[str]:
    command = [client(engine), "images", "--format", "{{.Repository}}:{{.Tag}}"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {each for each in listed if each.startswith(f"localhost/treadle/{name}:")}


def treadle(*arguments: str | Path) -> str:
    ran = subprocess.run([TREADLE, *arguments], capture_output=True, text=True, timeout=100, check=True)
    return ran.stdout


def test_earlier_images_are_removed_but_the_last(engine, project):
    folder = project(toml='[environment]\nA = "1"\n')
    name = f"pruned{time.time_ns()}"
    made = []
    for number in range(3):
        (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nENV NUMBER={number}\n")
        (folder / "treadle.toml").write_text(f'name = "{name}"\nruntime = "{engine}"\n')
        treadle("build", folder)
        made.append(images_of(engine, name).difference(*made))
        time.sleep(1.1)  # the engines tell when an image was made by the second
    told = treadle("build", "--prune", folder)
    assert [each for each in made[0] if f"removed {each}" in told] == [*made[0]]
    assert images_of(engine, name) == made[1] | made[2]
    treadle("build", "--prune", folder)
    assert images_of(engine, name) == made[1] | made[2]


def test_the_present_image_stays_though_others_are_newer(engine, project):
    folder = project()
    name = f"present{time.time_ns()}"
    (folder / "treadle.toml").write_text(f'name = "{name}"\nruntime = "{engine}"\n')
    for number in (0, 1, 2, 0):
        (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nENV NUMBER={number}\n")
        time.sleep(1.1)
        treadle("build", folder)
    made = images_of(engine, name)
    assert len(made) == 3
    treadle("build", "--prune", folder)
    assert images_of(engine, name) == made


def test_an_image_that_a_container_uses_stays(engine, project):
    folder = project("ENV NUMBER=first")
    name = f"used{time.time_ns()}"
    (folder / "treadle.toml").write_text(f'name = "{name}"\nruntime = "{engine}"\n')
    treadle("build", folder)
    (used,) = images_of(engine, name)
    command = [client(engine), "create", "--network", "none", used, "true"]
    container = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    for number in range(2):
        (folder / "Dockerfile").write_text(f"FROM {IMAGE}\nENV NUMBER={number}\n")
        time.sleep(1.1)
        treadle("build", folder)
    treadle("build", "--prune", folder)
    assert used in images_of(engine, name)
    subprocess.run([client(engine), "rm", container], check=True, capture_output=True)
    assert used in treadle("build", "--prune", folder)


def test_the_images_of_all_services_are_collected(engine, project, tmp_path):
    folder = project()
    name = f"collected{time.time_ns()}"
    (folder / "treadle.toml").write_text(f'name = "{name}"\nruntime = "{engine}"\n')
    treadle("build", folder)
    (made,) = images_of(engine, name)
    (tmp_path / "engine.toml").write_text(f'spool = "{tmp_path}/spool"\n')
    Spool.open(tmp_path / "spool")
    collect = ("gc", "--config", tmp_path / "engine.toml", "--dry-run", "--images")
    assert f"{made}  {engine}\n" in treadle(*collect, "0")
    assert made not in treadle(*collect, "1")
