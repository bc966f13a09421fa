"""The parts of a container runtime that work without an engine."""

from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import Resources, Service, ServiceError
from treadle_containers import EngineError, FrameParser, ImageInfo, Limits, LogFile
from treadle_containers.context import Context
from treadle_containers.dockerfile import Dockerfile
from treadle_containers.faults import broken_off, init_error
from treadle_containers.users import Users
from treadle_docker import DockerEngine
from treadle_podman.logfile import copy_file


def frame(kind: int, data: bytes) -> bytes:
    return bytes([kind, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=20)), max_size=10),
    st.lists(st.integers(0, 300), max_size=6),
)
def test_frames_are_read_however_they_are_cut(frames, cuts):
    sent = b"".join(frame(kind, data) for kind, data in frames)
    parser, streams = FrameParser(), {"stdout": b"", "stderr": b""}
    edges = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    for start, end in zip(edges, edges[1:], strict=False):  # noqa: RUF007  # the last one may be empty
        for stream, data in parser.feed(sent[start:end]).items():
            streams[stream] += data
    assert streams["stdout"] == b"".join(data for kind, data in frames if kind == 1)
    assert streams["stderr"] == b"".join(data for kind, data in frames if kind == 2)


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("data")
    (tmp_path / "log").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic link"), LogFile(tmp_path / "log", 100) as log:
        log.write(b"x")
    assert (tmp_path / "precious").read_text() == "data"


def test_a_log_that_is_copied_again_only_grows(tmp_path):
    with LogFile(tmp_path / "log", 100) as log:
        log.write(b"one two")
    with LogFile(tmp_path / "log", 100) as log:
        for piece in (b"one", b" t", b"wo three"):
            log.write(piece)
            assert (tmp_path / "log").read_bytes().startswith(b"one two")
    assert (tmp_path / "log").read_bytes() == b"one two three"


def test_a_log_that_differs_is_written_anew(tmp_path, caplog):
    (tmp_path / "log").write_bytes(b"one twx and more")
    with LogFile(tmp_path / "log", 100) as log:
        log.write(b"one two")
    assert (tmp_path / "log").read_bytes() == b"one two"
    assert "differs" in caplog.text


def test_a_log_is_cut_at_its_limit_and_says_so(tmp_path):
    with LogFile(tmp_path / "log", 5) as log:
        log.write(b"1234")
        assert not log.full
        log.write(b"56")
        assert (log.full, log.complete) == (True, True)
    assert (tmp_path / "log").read_bytes() == b"12345"


def test_what_comes_late_goes_nowhere(tmp_path):
    with LogFile(tmp_path / "log", 5) as log:
        pass
    log.write(b"late")
    assert (tmp_path / "log").read_bytes() == b""


def test_podman_s_log_file_is_read_with_its_partial_lines(tmp_path):
    (tmp_path / "ctr.log").write_bytes(
        b"2026-01-01T00:00:00+00:00 stdout F one\n"
        b"2026-01-01T00:00:00+00:00 stderr P er\n"
        b"2026-01-01T00:00:00+00:00 stdout P t w\n"
        b"2026-01-01T00:00:00+00:00 stderr F ror\n"
        b"2026-01-01T00:00:00+00:00 stdout F o\n"
        b"2026-01-01T00:00:00+00:00 stdout F \n"
        b"2026-01-01T00:00:00+00:00 stdout P torn"
    )
    with LogFile(tmp_path / "out", 100) as out, LogFile(tmp_path / "err", 100) as err:
        assert copy_file(tmp_path / "ctr.log", {"stdout": out, "stderr": err})
    assert (tmp_path / "out").read_bytes() == b"one\nt wo\n\n"
    assert (tmp_path / "err").read_bytes() == b"error\n"


def service(**options: object) -> Service:
    resources = Resources(cpu=2, memory=1.5, gpu={"type": "NVIDIA", "count": 1})
    return Service("s", Path("/s"), resources=resources, options=options)


def test_limits_are_the_service_s_resources_and_little_else():
    limits = Limits.of(service(), "docker")
    assert (limits.cpus, limits.memory_bytes, limits.gpus) == (2, 1_500_000_000, 1)
    assert (limits.network, limits.capabilities, limits.new_privileges) == ("none", (), False)


def test_treadle_toml_widens_them_on_purpose():
    limits = Limits.of(service(network="host", capabilities=["SYS_NICE"], memory=3, gpus=0), "docker")
    assert (limits.network, limits.capabilities, limits.memory, limits.gpus) == ("host", ("SYS_NICE",), 3, 0)


@pytest.mark.parametrize("options", [{"pids": 0}, {"memory": -1}, {"tmp_size": 0}, {"capabilities": [1]}])
def test_limits_that_make_no_sense_are_refused(options):
    with pytest.raises(ServiceError, match=next(iter(options))):
        Limits.of(service(**options), "docker")


@pytest.mark.parametrize(("is_root", "user"), [(True, "65534:65534"), (False, "app:7")])
def test_a_program_does_not_run_as_root_unless_its_service_says_so(is_root, user):
    assert Limits().user_of("app:7", is_root) == user
    assert Limits(user="0:0").user_of("app:7", is_root) == "0:0"


@pytest.mark.parametrize(
    ("user", "is_root"),
    [("", True), (":7", True), ("0", True), ("00:7", True), ("-0", True), ("7:0", False), ("root", None)],
)
def test_a_number_is_a_uid_and_a_name_has_to_be_looked_up(user, is_root):
    assert Users(DockerEngine()).is_root(ImageInfo("id", user)) is is_root


@pytest.fixture
def project(tmp_path):
    for name in ("Dockerfile", "run.sh", "data/a.csv", "data/deep/b.csv", ".git/config", "keep.log", "x.log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path


def names(project: Path) -> set[str]:
    with Context(project).pack() as archive, tarfile.open(fileobj=archive) as tar:
        return {each.name for each in tar if each.isfile() and each.name != ".dockerignore"}


@pytest.mark.parametrize(
    ("ignored", "left_out"),
    [
        ("", set()),
        ("# comment\n\n.git\n", {".git/config"}),
        ("*.log\n!keep.log\n", {"x.log"}),
        ("data/\n", {"data/a.csv", "data/deep/b.csv"}),
        ("data/*.csv\n", {"data/a.csv"}),
        ("**/*.csv\n", {"data/a.csv", "data/deep/b.csv"}),
        ("Dockerfile\n?.log\n", {"x.log"}),
        ("*\n!data/deep\n", {"data/a.csv", ".git/config", "keep.log", "x.log", "run.sh"}),
    ],
)
def test_dockerignore_leaves_files_out(project, ignored, left_out):
    everything = names(project)
    (project / ".dockerignore").write_text(ignored)
    assert everything - names(project) == left_out


def test_of_an_ignored_folder_only_the_file_that_is_not_ignored_is_taken(project):
    (project / "data" / "deep" / "secret").write_text("secret")
    (project / ".dockerignore").write_text("**/deep\n!data/deep/b.csv\n")
    assert {name for name in names(project) if "deep" in name} == {"data/deep/b.csv"}


@pytest.mark.parametrize(
    ("ignored", "shown"), [("*.log", ""), ("Dockerfile", "Dockerfile\n"), ("*", "Dockerfile\n")]
)
def test_an_engine_is_told_to_ignore_nothing_but_the_dockerfile(project, ignored, shown):
    (project / ".dockerignore").write_text(ignored)
    with Context(project).pack() as archive, tarfile.open(fileobj=archive) as tar:
        assert tar.extractfile(".dockerignore").read().decode() == f".containerignore\n.dockerignore\n{shown}"


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("FROM a", ["a"]),
        (
            "ARG V=3.12\nARG T=python:$V\nFROM --platform=$BUILDPLATFORM ${T}-slim AS x\nFROM x",
            ["python:3.12-slim"],
        ),
        ("FROM scratch\nCOPY --from=b /x /\nCOPY --from=0 /x /", ["b"]),
        ("ARG V\nFROM a:${V:-1}\nFROM b:$V\nFROM c${V:+x}", ["a:1", "c"]),
        ('ARG N="quoted"\nfrom "$N" as B\nFROM b\nFROM \\\n  a', ["quoted", "a"]),
        ("", []),
        ("# escape=`\nFROM a\nRUN x `\n  FROM no", ["a"]),
    ],
)
def test_the_images_that_a_dockerfile_builds_on_are_found(tmp_path, text, bases):
    (tmp_path / "Dockerfile").write_text(text)
    assert Dockerfile(tmp_path / "Dockerfile").bases() == bases


@pytest.mark.timeout(10)
def test_a_fifo_or_a_socket_in_a_project_is_left_out(project):
    digest = Context(project).digest()
    os.mkfifo(project / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(project / "socket"))
    assert Context(project).digest() == digest
    with Context(project).pack() as archive, tarfile.open(fileobj=archive) as tar:
        assert not {"fifo", "socket"} & set(tar.getnames())


def test_the_digest_changes_with_a_file_s_content_name_or_mode_and_with_nothing_else(project):
    digests = [Context(project).digest()]
    assert Context(project).digest() == digests[0]
    (project / "run.sh").touch()
    assert Context(project).digest() == digests[0]
    (project / "run.sh").write_text("changed")
    digests.append(Context(project).digest())
    (project / "run.sh").chmod(0o755)
    digests.append(Context(project).digest())
    (project / "run.sh").rename(project / "walk.sh")
    digests.append(Context(project).digest())
    assert len(set(digests)) == 4


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('container create failed (no logs from conmon): conmon bytes "": readObjectStart', True),
        ("write child: broken pipe", True),
        ("failed to start shim: start failed: : signal: killed: unknown", True),
        ("failed to start shim: mkdir /run/containerd/io.containerd.runtime.v2.task/1: file exists", True),
        ("failed to create shim task: ttrpc: closed: unknown", True),
        ("failed to create shim task: OCI runtime create failed: exec: no such file or directory", False),
        ("crun: executable file `nothing` not found in $PATH", False),
    ],
)
def test_a_start_that_was_broken_off_is_distinguished_from_one_that_can_t_work(message, expected):
    assert broken_off(EngineError(message)) is expected


@pytest.mark.parametrize(
    ("code", "stderr", "expected"),
    [
        (127, b"[FATAL tini (7)] exec /no failed: No such file or directory\n", "ENTRYPOINT_NOT_FOUND"),
        (126, b"[FATAL tini (7)] exec /no failed: Permission denied\n", "ENTRYPOINT_NOT_EXECUTABLE"),
        (1, b"ERROR (catatonit:2): failed to exec pid1: Exec format error\n", "ENTRYPOINT_NOT_EXECUTABLE"),
        (1, b"ERROR (catatonit:2): failed to exec pid1: No such file or directory\n", "ENTRYPOINT_NOT_FOUND"),
        (127, b"sh: x: No such file or directory\n", None),
        (0, b"[FATAL tini (7)] exec /no failed: No such file or directory\n", None),
        (127, b"", None),
    ],
)
def test_an_init_that_can_t_execute_the_program_is_told_from_the_program(code, stderr, expected):
    error = init_error(code, stderr)
    assert (None if error is None else error.code) == expected
