"""Requests that web pages make: those of other sites are refused, and everybody else is served."""

from __future__ import annotations

import http.client
import socket
import urllib.parse
from contextlib import closing

import pytest

from tests.acceptance.server import EXAMPLES, Answer

BODY = b'{"data": {"values": [1, 2]}}'


@pytest.fixture(scope="module")
def server(module_server):
    return module_server(EXAMPLES / "sum", "--hosts", "engine.example", "--hosts", "UI.example")


def ask(server, method: str = "POST", **headers: str | None) -> Answer:
    """Send a request with exactly these headers; PORT in them stands for the server's port."""
    port = urllib.parse.urlsplit(server.url).port
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.putrequest(method, "/", skip_host=True, skip_accept_encoding=True)
        given = {"Host": "127.0.0.1:PORT", **headers}
        for name, value in given.items():
            if value is not None:
                connection.putheader(name.replace("_", "-"), value.replace("PORT", str(port)))
        body = BODY if method == "POST" else b""
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, dict(answer.headers), answer.read())


OWN = socket.gethostname()
HERE = "http://127.0.0.1:PORT"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:PORT",
        "127.0.0.1",
        "192.0.2.7:80",
        "127.1:PORT",
        "[::1]:PORT",
        "[2001:db8::7]",
        "[fe80::7%eth0]:PORT",
        "[fe80::7%25eth0]:PORT",
        "localhost:PORT",
        "LOCALHOST.",
        "app.localhost:1",
        OWN,
        OWN.upper() + ":PORT",
        OWN.split(".", maxsplit=1)[0],
        socket.getfqdn(),
        "engine.example:443",
        "Engine.Example.",
        "ui.example",
    ],
)
def test_a_host_that_is_this_one_is_served(server, host):
    assert ask(server, "GET", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1.evil.example", "localhost.evil.example", "1e3"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_any_other_host_is_refused_and_the_answer_names_the_setting(server, host, method):
    answer = ask(server, method, Host=host)
    assert (answer.status, answer.json["code"]) == (403, "UNKNOWN_HOST")
    assert "`hosts`" in answer.json["detail"]


@pytest.mark.parametrize(
    "host", ["a b", "x/y", "user@127.0.0.1", "127.0.0.1:99999999", "[::1", "", "a:b:c", "[::1%a b]", "[%x]"]
)
def test_a_host_that_is_no_name_is_refused(server, host):
    assert ask(server, Host=host).status in {400, 403}


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://evil.example:PORT",
        "null",
        "",
        "file://",
        "http://192.0.2.7:PORT",
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        "http://localhost:PORT",
        "http://[",
        "http://127.0.0.1:99999",
        "chrome-extension://abcdef",
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_page_of_another_site_starts_no_job(server, origin, kind):
    answer = ask(server, Origin=origin, Content_Type=kind)
    assert (answer.status, answer.json["code"]) == (403, "FOREIGN_ORIGIN")
    assert "`hosts`" in answer.json["detail"]


def test_a_page_of_another_site_reads_nothing(server):
    assert ask(server, "GET", Origin="http://evil.example").status == 403
    assert ask(server, "GET", Sec_Fetch_Site="cross-site").status == 403


def test_a_page_without_an_origin_but_of_another_site_is_refused(server):
    answer = ask(server, Sec_Fetch_Site="cross-site", Content_Type="application/json")
    assert (answer.status, answer.json["code"]) == (403, "FOREIGN_ORIGIN")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": HERE},
        {"Origin": HERE, "Sec_Fetch_Site": "same-origin"},
        {"Sec_Fetch_Site": "none"},
        {"Host": "localhost:PORT", "Origin": "http://localhost:PORT"},
        {"Host": "[::1]:PORT", "Origin": "http://[::1]:PORT"},
        {"Host": "engine.example", "Origin": "https://engine.example"},
        {"Host": "engine.example:443", "Origin": "https://engine.example"},
        {"Origin": "https://ui.example"},
        {"Origin": "https://ui.example:8443", "Sec_Fetch_Site": "cross-site"},
    ],
    ids=str,
)
def test_a_page_of_this_host_or_of_a_named_one_starts_jobs(server, headers):
    assert ask(server, Content_Type="application/json; charset=utf-8", **headers).status == 201


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain; charset=utf-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "TEXT/PLAIN",
    ],
)
def test_what_a_page_posts_without_asking_is_refused_even_from_this_host(server, kind):
    answer = ask(server, Origin=HERE, Content_Type=kind)
    assert (answer.status, answer.json["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "kind", ["application/x-www-form-urlencoded", "text/plain", "application/json", None]
)
def test_programs_such_as_curl_are_served_whatever_type_they_say(server, kind):
    assert ask(server, Content_Type=kind).status == 201


def test_a_request_without_a_host_comes_from_no_browser(server):
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 10) as client:
        client.sendall(b"GET /-/health HTTP/1.0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.0 200")


def test_pages_of_plugins_and_of_the_engine_are_no_exception(server):
    for path in ("/-/health", "/-/metrics", "/nothing", "/services/nobody/x"):
        answer = server.ask("GET", path, Host="evil.example")
        assert (answer.status, answer.json["code"]) == (403, "UNKNOWN_HOST"), path


def test_two_hosts_in_one_request_are_refused(server):
    address = urllib.parse.urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), 10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")
        assert b" 400 " in client.recv(100)
