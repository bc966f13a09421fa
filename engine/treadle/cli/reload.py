"""`treadle reload`: has the engine read its services again, and shows what it has found."""

from __future__ import annotations

import sys

import click

from treadle.cli.discovery import with_spool
from treadle.cli.options import FiniteRange
from treadle.cli.polling import Pauses
from treadle.interface.errors import TreadleError
from treadle_spool import Spool
from treadle_spool.services import ReloadRequest, ServiceList


@click.command()
@with_spool
@click.option("--timeout", type=FiniteRange(0), default=60.0, help="Seconds to wait.", show_default=True)
def reload(spool: Spool, timeout: float) -> None:
    """Have the engine read its services again, and print what was added, changed or removed, and is broken.

    What has changed since the last reload, or the engine's start, is shown, also if the engine has noticed
    it by itself. Exits with 1 if a service is broken.
    """
    if spool.lock().holder() is None:
        raise TreadleError(f"no engine works on the spool {spool.root}: one that starts reads all services")
    request = ReloadRequest.make(spool.root)
    pauses = Pauses(timeout)
    while request.is_there():
        if pauses.over() or spool.lock().holder() is None:
            raise TreadleError("the engine has not read its services: is it stuck, or was it stopped?")
        pauses.take()
    listed = ServiceList.read(spool.root)
    if listed is None or listed.reloaded is None:
        raise TreadleError("the engine has read its services, but can't write what it has found")
    for word in ("added", "changed", "removed"):
        for name in getattr(listed.reloaded, word):
            click.echo(f"{word:<8} {name}")
    broken = [each for each in listed.services if each.error is not None]
    for each in broken:
        click.echo(f"{'BROKEN':<8} {each.name}: {each.error}")
    click.echo(f"{len(listed.services) - len(broken)} services are served")
    sys.exit(1 if broken else 0)
