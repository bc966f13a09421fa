"""Payloads on the command line: JSON, or `@` and the name of a file with JSON."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec

from treadle_spool import InvalidDescriptor, decode_from_client


def read_payload(text: str | None, option: str) -> msgspec.Raw:
    """Return the JSON object of an option, as raw bytes; raise a usage error if it is not one."""
    if text is None:
        return msgspec.Raw()
    if text.startswith("@"):
        if text == "@-" and sys.stdin is None:
            raise click.BadParameter("standard input is closed", param_hint=option)
        try:
            raw = Path(text[1:]).read_bytes() if text != "@-" else sys.stdin.buffer.read()
        except OSError as error:
            raise click.BadParameter(
                f"{text[1:]} can't be read: {error.strerror}", param_hint=option
            ) from None
    else:
        raw = text.encode("utf-8", "surrogateescape")
    try:
        value = decode_from_client(raw, msgspec.Raw)
    except InvalidDescriptor as error:
        raise click.BadParameter(str(error), param_hint=option) from None
    if not bytes(value).startswith(b"{"):
        raise click.BadParameter("expected a JSON object, such as '{\"values\": [1, 2]}'", param_hint=option)
    return value
