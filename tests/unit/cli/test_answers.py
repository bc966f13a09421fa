"""What is no job, no spool, no server or no number is one clear line of every command, and no answer."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from treadle_spool import Descriptor, Spool

BY_ID = ["status", "wait", "result", "interim", "cancel"]
NO_JOBS = ["", " ", "..", "../x", "a b", "services", "x" * 200, "nothing", "a\nb", "\xe4", "-"]
NO_URLS = [
    *("http://127.0.0.1:1", "http://[::1", "http://", "http://h:99999", "http://h:x", "http://h/?a"),
    *("http://h#a", "ftp://h", "h", "", "http://127.0..1", "http://\xe4", "http://a b", "http://" + "x" * 70),
]
NO_ANSWERS = [b"{}", b"[]", b"<html>", b"", b"null", b'{"id": 1}', b"\xff", b"[" * 100_000]

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def stranger(answer: Answer) -> Iterator[str]:
    """Run a web server that is not Treadle; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name is the base class's
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer(self)

        do_POST = do_PUT = do_GET  # noqa: N815  # likewise

        def log_message(self, *_: object) -> None:
            pass

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{web.server_address[1]}"
        finally:
            web.shutdown()
            thread.join()


def saying(status: int, body: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@pytest.fixture
def spool(tmp_path):
    return Spool.open(tmp_path / "spool")


@pytest.mark.parametrize("command", [*BY_ID, "logs"])
def test_what_names_no_job_is_an_error(treadle, spool, command):
    with stranger(saying(404, b'{"code": "NOT_FOUND", "detail": "no job"}')) as url:
        for job in NO_JOBS:
            treadle(command, "--spool", spool.root, "--", job).is_one_clear_line()
            if command != "logs":
                treadle(command, "--url", url, "--", job).is_one_clear_line()


@pytest.mark.parametrize("command", BY_ID)
def test_an_id_is_looked_at_before_the_server_is_asked(treadle, command):
    asked = []
    with stranger(lambda request: asked.append(request.path)) as url:
        for job in ("", "..", "a/b", "openapi.json"):
            treadle(command, job, "--url", url).is_one_clear_line()
    assert asked == []


@pytest.mark.parametrize("command", [*BY_ID, "logs", "submit", "list", "gc"])
def test_what_is_no_spool_is_an_error_and_is_not_made_one(treadle, tmp_path, command):
    (tmp_path / "empty").mkdir()
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "mine").touch()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "spool.json").write_text("{")
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    arguments = {"submit": ["--service", "x"], "list": [], "gc": ["--days", "1"]}.get(command, ["x"])
    for place in ("missing", "empty", "foreign", "damaged", "file", "file/below"):
        treadle(command, *arguments, "--spool", tmp_path / place).is_one_clear_line(str(tmp_path / place))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("url", NO_URLS)
def test_a_url_of_no_server_is_an_error(treadle, monkeypatch, url):
    monkeypatch.setenv("no_proxy", "*")
    for arguments in (["status", "x"], ["submit", "--data", "{}"], ["list"]):
        treadle(*arguments, "--url", url).is_one_clear_line()


@pytest.mark.parametrize("body", NO_ANSWERS)
def test_a_server_that_is_not_treadle_gives_no_answer(treadle, body):
    for status, words in ((200, "does not answer like a service"), (500, "the server answered 500")):
        with stranger(saying(status, body)) as url:
            for command in ("status", "wait", "result", "cancel"):
                treadle(command, "x", "--url", url).is_one_clear_line(words)
            treadle("submit", "--data", "{}", "--url", url).is_one_clear_line(words)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", b"nonsense\r\n\r\n", b""]
)
def test_a_server_that_breaks_off_is_an_error(treadle, answer):
    with stranger(lambda request: request.wfile.write(answer) and None) as url:
        treadle("status", "x", "--url", url).is_one_clear_line("can't be reached")


def test_a_server_that_does_not_wait_is_asked_at_a_measured_pace(treadle):
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        saying(200, b'{"id": "x", "status": "RUNNING"}')(request)

    with stranger(answer) as url:
        assert treadle("wait", "x", "--timeout", "0.5", "--url", url).code == 2
    assert len(asked) < 6


def test_an_empty_service_is_an_error_and_not_any_service(treadle, spool):
    for place in (["--spool", spool.root], ["--url", "http://127.0.0.1:1"]):
        treadle("submit", *place, "--service", "", "--data", "{}").is_one_clear_line("it is empty")


def test_a_number_that_is_none_is_an_error(treadle, spool):
    for value in ("nan", "-nan", "x", ""):
        treadle("wait", "x", "--spool", spool.root, f"--timeout={value}").is_one_clear_line("--timeout")
        treadle("submit", "--spool", spool.root, f"--timeout={value}").is_one_clear_line("--timeout")
        treadle("gc", "--spool", spool.root, f"--days={value}").is_one_clear_line("--days")
        treadle("serve", f"--grace={value}").is_one_clear_line("--grace")


def test_ids_are_found_by_a_beginning_that_no_other_id_has(treadle, spool):
    for name in ("run-1", "run-12", "run-2", "other"):
        spool.accept(Descriptor(service="sum"), name)
    place = ["--spool", spool.root]
    for beginning, whole in (("o", "other"), ("other", "other"), ("run-1", "run-1"), ("run-12", "run-12")):
        assert treadle("status", beginning, *place).out.split()[1] == whole
    for command in (*BY_ID, "logs"):
        treadle(command, "run", *place).is_one_clear_line("run-1, run-12, run-2; give more of it")
    for number in range(10):
        spool.accept(Descriptor(service="sum"), f"many-{number}")
    treadle("status", "many", *place).is_one_clear_line("many-4 and 5 more")


def test_a_server_on_this_host_lets_its_own_spool_complete_an_id(treadle, spool, tmp_path):
    spool.accept(Descriptor(service="sum"), "run-1")
    told = {"path": str(spool.root), "id": spool.id}

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/-/spool":
            saying(200, str(told).replace("'", '"').encode())(request)
        elif request.path == "/run-1":
            saying(200, b'{"id": "run-1", "status": "PENDING"}')(request)
        else:
            saying(404, b'{"code": "NOT_FOUND", "detail": "no such job"}')(request)

    with stranger(answer) as url:
        assert "run-1" in treadle("status", "ru", "--url", url).out
        for other in ({"id": "another spool's"}, {"path": str(tmp_path / "nowhere")}):
            before = dict(told)
            told.update(other)
            treadle("status", "ru", "--url", url).is_one_clear_line("no such job")
            told.update(before)


def test_no_proxy_stands_between_this_host_and_itself(treadle, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with stranger(saying(200, b'{"id": "x", "status": "SUCCEEDED"}')) as url:
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "127.1.2.3"):
            if host != "127.1.2.3":  # the server listens on one address
                assert treadle("status", "x", "--url", f"http://{host}:{port}").code == 0, host


def test_another_host_is_asked_through_the_proxy(treadle, monkeypatch):
    asked = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        saying(200, b'{"id": "x", "status": "SUCCEEDED"}')(request)

    with stranger(answer) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.delenv("no_proxy", raising=False)
        assert treadle("status", "x", "--url", "http://treadle.example").code == 0
    assert asked == ["http://treadle.example/x"]


def test_an_error_of_the_system_names_the_file(treadle, spool):
    (spool.root / "drop").rmdir()
    treadle("submit", "--service", "x", "--spool", spool.root).is_one_clear_line(f"{spool.root}/drop")


def test_a_fault_of_our_own_is_one_line_with_its_place(treadle, spool, monkeypatch):
    monkeypatch.setattr("treadle.cli.jobs._show", lambda *_: {}["no such key"])
    spool.accept(Descriptor(service="sum"), "one")
    ran = treadle("status", "one", "--spool", spool.root)
    assert ran.code == 1
    assert ran.err.startswith("Error: a fault of treadle: KeyError: 'no such key' (")
    assert ran.err.count("\n") == 1
