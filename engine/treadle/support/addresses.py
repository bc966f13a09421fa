"""Addresses of hosts: which of them are this host itself, and how a URL writes them."""

from __future__ import annotations

import ipaddress

_ANY = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing is bound to it here
"""What a client connects to where a server listens on all addresses."""


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address can be reached from this host only."""
    address = _address(host)
    if address is not None:
        return address.is_loopback
    name = host.lower().rstrip(".")
    return name == "localhost" or name.endswith(".localhost")


def is_here(host: str) -> bool:
    """Return whether a client that connects to this name or address reaches this host itself."""
    address = _address(host)
    return is_loopback(host) or (address is not None and address.is_unspecified)


def url_of(host: str, port: int) -> str:
    """Return the URL of a server that listens there, as a client on this host can use it."""
    host = _ANY.get(host, host)
    literal = f"[{host.replace('%', '%25')}]" if ":" in host else host
    return f"http://{literal}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address that a host is named by, None for a name; an IPv4 address in IPv6 is itself."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
