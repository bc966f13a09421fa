"""`treadle plugins`: lists the plugins, and why a broken one can't be used."""

from __future__ import annotations

import dataclasses
from typing import Any

import click
import orjson

from treadle.cli.options import engine_options, settings_of
from treadle.cli.table import print_table
from treadle.extend.loader import Plugins
from treadle.extend.sources import PluginInfo


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@engine_options("plugins_dir")
def plugins(as_json: bool, **options: Any) -> None:
    """List every plugin: its version, what it provides or, if it is broken, why."""
    listing = Plugins(settings_of(needs_spool=False, **options)).listing
    if as_json:
        click.echo(orjson.dumps([dataclasses.asdict(each) for each in listing]))
        return
    rows = [[each.name, each.version, each.origin, _state(each)] for each in listing]
    print_table(("plugin", "version", "origin", "provides"), rows)


def _state(plugin: PluginInfo) -> str:
    if plugin.disabled:
        return "disabled"
    return f"BROKEN: {plugin.error}" if plugin.error else ", ".join(plugin.provides)
