"""Clients that send half a request, or slowly, or too much, or no HTTP: each is closed or answered."""

from __future__ import annotations

import gzip
import http.client
import json
import resource
import select
import socket
import threading
import time
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from tests.acceptance.attacks import MIB, memory, probed
from tests.acceptance.server import EXAMPLES, Server, eventually

CLOSED_WITHIN = 15.0
"""Seconds within which a slow client is closed."""
ECHO = "def run():\n    return 1\n"


@pytest.fixture(scope="module")
def server(module_server):
    return module_server(EXAMPLES / "sum")


def connected(server: Server) -> socket.socket:
    address = urllib.parse.urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), 30)


HALVES = {
    "nothing": b"",
    "a part of a line": b"GET",
    "a part of the headers": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-",
    "no body": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n",
    "a part of a body": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
    "a large part of a body": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9000000\r\n\r\n"
    + b" " * 8_000_000,
    "a part of a chunk": b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n{",
    "a body that nobody reads": b"GET /-/health HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n",
    "a whole request and a half": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
}
"""What clients send, and then no more."""


def test_clients_that_send_half_a_request_are_closed(server):
    with ExitStack() as stack:
        clients = {}
        for name, half in HALVES.items():
            clients[name] = stack.enter_context(connected(server))
            clients[name].sendall(half)
        second = clients["a whole request and a half"]
        assert second.recv(1000).startswith(b"HTTP/1.1 200")
        second.sendall(b"GET /")
        begun = time.monotonic()
        answers = {name: until_closed(client, begun + CLOSED_WITHIN) for name, client in clients.items()}
    assert [name for name, answer in answers.items() if answer is None] == []
    for name in ("no body", "a part of a body", "a part of a chunk", "a large part of a body"):
        assert answers[name].startswith(b"HTTP/1.1 408"), name
        assert b'"TOO_SLOW"' in answers[name]


def until_closed(client: socket.socket, end: float) -> bytes | None:
    """Return what a client gets until the server closes the connection; None if it does not in time."""
    got = b""
    with suppress(ConnectionResetError):
        while select.select([client], [], [], max(0.0, end - time.monotonic()))[0]:
            if not (piece := client.recv(65536)):
                return got
            got += piece
        return None
    return got


@pytest.mark.parametrize(
    "head", [b"GET / HTTP/1.1\r\nX: ", b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n"]
)
def test_clients_that_trickle_are_closed(server, head):
    with connected(server) as client:
        begun = time.monotonic()
        client.sendall(head)
        with suppress(BrokenPipeError, ConnectionResetError):
            while not select.select([client], [], [], 0.2)[0]:
                assert time.monotonic() - begun < CLOSED_WITHIN
                client.sendall(b" ")
        assert until_closed(client, begun + CLOSED_WITHIN) is not None


def test_a_client_that_sends_a_body_at_a_fair_pace_is_served(server):
    body = b'{"data": {"values": [1]}}' + b" " * 300_000
    with connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 25_000):
            client.sendall(body[start : start + 25_000])
            assert not select.select([client], [], [], 0.1)[0] or start + 25_000 >= len(body)
        assert client.recv(1000).startswith(b"HTTP/1.1 201")


LARGE = """
def run():
    print('PlanQK:Job:InterimResult: "' + 'x' * 8_000_000 + '"')
    return 'y' * 8_000_000
"""
"""A program whose result and interim results are more than the sockets hold."""


@pytest.fixture(scope="module")
def large(module_server, tmp_path_factory) -> tuple[Server, list[str]]:
    """Return a server, and paths with large responses: a file that is sent as it is, pieces, and events."""
    project = tmp_path_factory.mktemp("large")
    (project / "src").mkdir()
    (project / "src" / "program.py").write_text(LARGE)
    (project / "planqk.json").write_text('{"name": "service", "runtime": "PYTHON_TEMPLATE"}')
    server = module_server(project)
    job = server.submit()
    server.ended(job)
    return server, [f"/{job}/{name}" for name in ("result", "interim-results", "events")]


def reading(server: Server, path: str) -> socket.socket:
    """Return a client with a small buffer that has asked for a response."""
    address = urllib.parse.urlsplit(server.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(30)
    client.connect((address.hostname, address.port))
    client.sendall(b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % path.encode())
    return client


def descriptors(server: Server) -> list[str]:
    """Return the results and connections that a server has open."""
    folder = Path("/proc", str(server.process.pid), "fd")
    targets = []
    for fd in list(folder.iterdir()):
        with suppress(FileNotFoundError):
            targets.append(str(fd.readlink()))
    return [each for each in targets if each.startswith("socket:") or "/done/" in each]


def test_clients_that_take_nothing_of_a_response_are_closed(large):
    server, paths = large
    before = len(descriptors(server))
    with ExitStack() as stack:
        clients = {path: stack.enter_context(reading(server, path)) for path in paths}
        begun = time.monotonic()
        eventually(lambda: len(descriptors(server)) >= before + len(paths), "the responses begun")
        poll = select.poll()
        for client in clients.values():
            poll.register(client, select.POLLERR)
        closed: set[int] = set()
        while len(closed) < len(clients) and (left := begun + CLOSED_WITHIN - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                closed.add(fd)
                poll.unregister(fd)
        assert [path for path, client in clients.items() if client.fileno() not in closed] == []
        eventually(lambda: len(descriptors(server)) <= before, "nothing left of their requests")
    assert "Traceback" not in server.log.read_text()


def test_clients_that_take_a_response_slowly_get_all_of_it(large):
    server, paths = large

    def take(path: str) -> int:
        begun, size = time.monotonic(), 0
        with reading(server, path) as client:
            while time.monotonic() - begun < CLOSED_WITHIN + 5:
                size += len(client.recv(4096))
                time.sleep(0.5)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
            while size < 8_000_000 and (piece := client.recv(MIB)):
                size += len(piece)
        return size

    with ThreadPoolExecutor(len(paths)) as threads:
        assert min(threads.map(take, paths)) >= 8_000_000


def test_a_client_that_goes_away_is_no_fault_of_the_spool(server):
    with connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{")
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1000) == b""
    eventually(lambda: 'code="CLIENT_GONE"' in server.ask("GET", "/-/metrics").body.decode(), "its end")
    assert "Connection lost" not in server.log.read_text()


def test_an_idle_connection_is_kept_for_the_next_request(server):
    address = urllib.parse.urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=30)) as client:
        client.request("POST", "/", b'{"data": {"values": [1]}}')
        assert client.getresponse().read()
        kept = client.sock
        assert not select.select([kept], [], [], 12)[0]
        client.request("GET", "/")
        assert client.getresponse().read()
        assert client.sock is kept


@pytest.fixture
def few_descriptors(project, tmp_path) -> Iterator[Server]:
    """Start a server that can have 1,024 descriptors, and no more."""
    server = Server(tmp_path / "spool", [str(project(ECHO))], around=["prlimit", "--nofile=1024:1024"])
    yield server.start()
    if server.process is not None and server.process.poll() is None:
        server.stop()
    server.end_programs()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Let this process have several thousand descriptors."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("half", [b"GET / HT", HALVES["a part of a body"]], ids=["headers", "body"])
def test_half_sent_requests_take_no_descriptor_that_others_need(few_descriptors, half):
    server = few_descriptors
    server.result(server.submit())
    with ExitStack() as stack:
        with probed(server) as probes:
            for _ in range(1500):
                client = stack.enter_context(connected(server))
                client.sendall(half)
            assert server.result(server.submit()) == 1
        assert probes.slowest() < 1.0
    assert server.log.stat().st_size < 100_000
    assert server.result(server.submit()) == 1


@pytest.mark.usefixtures("many_descriptors")
def test_where_all_connections_have_requests_a_further_one_is_told_so(few_descriptors, tmp_path):
    server = few_descriptors
    job = server.submit()
    server.ended(job)
    with ExitStack() as stack:
        waiting = [stack.enter_context(connected(server)) for _ in range(900)]
        answers = []
        for client in waiting:
            with suppress(OSError):
                client.sendall(b"GET /-/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        for client in waiting:
            with suppress(ConnectionResetError):
                answers.append(client.recv(12))
    assert answers.count(b"HTTP/1.1 200") >= 700
    assert server.ask("GET", "/-/health").status == 200


def test_the_descriptor_limit_is_raised_at_the_start(project, tmp_path):
    server = Server(tmp_path / "spool", [str(project(ECHO))], around=["prlimit", "--nofile=256:4096"]).start()
    assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (4096, 4096)
    server.stop()


MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: many\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nExpect: a miracle\r\n\r\n{}",
    b"\r\n" * 10 + b"\0" * 100 + b"\r\n\r\n",
]


@pytest.mark.parametrize("request_", MALFORMED, ids=range(len(MALFORMED)))
def test_what_is_no_http_is_answered_in_json(server, request_):
    with connected(server) as client:
        client.sendall(request_)
        client.settimeout(CLOSED_WITHIN)
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status in {400, 417}
        assert answer.headers["Content-Type"].startswith("application/json")
        fields = json.loads(answer.read())
        assert fields["code"]
        assert "\n" not in fields["detail"]


def test_malformed_requests_fill_no_log(server):
    before = server.log.stat().st_size
    for _ in range(200):
        with connected(server) as client, suppress(ConnectionResetError):
            client.sendall(b"nonsense\r\n\r\n")
            client.recv(1000)
    assert server.log.stat().st_size - before < 20_000


def test_a_body_in_chunks_of_one_byte_delays_no_other_request(serve, project):
    server = serve(project(ECHO))
    over = threading.Event()

    def send() -> None:
        with connected(server) as client, suppress(OSError):
            client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not over.is_set():
                client.sendall(b"1\r\n \r\n" * 10_000)

    with ThreadPoolExecutor(8) as threads:
        for _ in range(8):
            threads.submit(send)
        with probed(server) as probes:
            time.sleep(5)
        over.set()
        server.kill()  # it would read all the rest
    assert probes.slowest(0.5) < 0.7  # on a busy host; it was 1.5 s


def test_a_body_in_small_chunks_is_a_body_like_any_other(server):
    body = json.dumps({"data": {"values": [1] * 100_000}}).encode()
    address = urllib.parse.urlsplit(server.url)
    with closing(http.client.HTTPConnection(address.hostname, address.port, timeout=60)) as client:
        client.request("POST", "/", (body[at : at + 1] for at in range(len(body))), encode_chunked=True)
        assert client.getresponse().status == 201


def test_a_too_large_body_has_one_code_wherever_it_is_noticed(serve, tmp_path):
    pools = tmp_path / "pools"
    (pools / "pool").mkdir(parents=True)
    (pools / "pool" / "file.json").write_bytes(b'{"values": [' + b"1, " * 1000 + b"1]}")
    server = serve(EXAMPLES / "sum", "--max-body", "1000", "--data-pools", pools)
    large = b'{"data": {"values": [1]}}' + b" " * 1000
    ref = b'{"dataRef": {"dataPoolId": "pool", "fileId": "file.json"}}'
    answers = [
        server.ask("POST", "/", large),
        server.ask("POST", "/", gzip.compress(large), **{"Content-Encoding": "gzip"}),
        server.ask("POST", "/", ref),
        chunked(server, large),
    ]
    assert {(answer.status, answer.json["code"]) for answer in answers[:3]} == {(413, "TOO_LARGE")}
    assert answers[3].startswith(b"HTTP/1.1 413")
    assert b'"TOO_LARGE"' in answers[3]


def chunked(server: Server, body: bytes) -> bytes:
    with connected(server) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        return client.recv(10_000)


def test_more_bodies_at_once_than_fit_are_told_to_come_again(serve, project):
    server = serve(project(ECHO, "concurrency = 1\n"))
    body = b'{"data": {"text": "' + b"a" * (50 * MIB) + b'"}}'
    before = memory(server)
    statuses: list[int] = []

    def post() -> None:
        with suppress(OSError):
            statuses.append(server.ask("POST", "/", body).status)

    threads = [threading.Thread(target=post) for _ in range(20)]
    with probed(server) as probes:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert {201, 503} <= set(statuses) <= {201, 503}
    assert probes.peak - before < 640 * MIB
    assert probes.slowest(0.9) < 1.0
    assert server.ask("POST", "/", body).status == 201


def test_a_small_body_that_unpacks_to_a_huge_one_costs_no_more(serve, project):
    server = serve(project(ECHO))
    bomb = gzip.compress(b" " * (200 * MIB), 9)
    before = memory(server)
    with probed(server) as probes:
        for _ in range(3):
            answer = server.ask("POST", "/", bomb, **{"Content-Encoding": "gzip"})
            assert (answer.status, answer.json["code"]) == (413, "TOO_LARGE")
    assert probes.peak - before < 200 * MIB
