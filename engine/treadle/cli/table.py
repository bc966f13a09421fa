"""Tables: aligned in a terminal, tab-separated in a pipe. No cell is ever cut."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

_NARROWEST = 30
"""Columns that the last column has at least; its text is wrapped there."""


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under the names of their columns.

    In a terminal that is too narrow, only the last column is wrapped; what still does not fit is left to the
    terminal to wrap.
    """
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    table = Table(box=None, pad_edge=False)
    for column in columns[:-1]:
        table.add_column(column, no_wrap=True)
    table.add_column(columns[-1], overflow="fold")
    for row in rows:
        table.add_row(*row)
    fixed = sum(max(map(cell_len, cells)) + 1 for cells in list(zip(columns, *rows, strict=True))[:-1])
    console.width = max(console.width, fixed + _NARROWEST)
    console.print(table)
