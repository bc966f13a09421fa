"""Which addresses are this host, and how a URL writes them."""

from __future__ import annotations

import pytest

from treadle.support.addresses import is_here, is_loopback, url_of


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "localhost", "Localhost", "a.localhost", "::1%lo"],
)
def test_loopback_is_this_host_alone(host):
    assert is_loopback(host)
    assert is_here(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_all_addresses_are_here_but_not_only_loopback(host):
    assert not is_loopback(host)
    assert is_here(host)


@pytest.mark.parametrize(
    "host", ["", "192.0.2.1", "::2", "localhost.example", "127.0.0.1.example", "::ffff:192.0.2.1"]
)
def test_others_are_not(host):
    assert not is_loopback(host)
    assert not is_here(host)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("::1", "http://[::1]:1"),
        ("::", "http://[::1]:1"),
        ("0.0.0.0", "http://127.0.0.1:1"),
        ("", "http://127.0.0.1:1"),
        ("host.example", "http://host.example:1"),
        ("fe80::1%eth0", "http://[fe80::1%25eth0]:1"),
    ],
)
def test_a_url_can_be_used_on_this_host(host, url):
    assert url_of(host, 1) == url
