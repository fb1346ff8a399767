"""Tables as plain text."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO

from rich.console import Console
from rich.table import Table

# Wider than any line, so that names are neither cut nor wrapped.
WIDTH = 100_000


def table_text(table: Table) -> str:
    """A table as plain lines. Cells are taken as they are: `[/]` is a name, and no markup of rich's."""
    text = StringIO()
    Console(file=text, width=WIDTH, highlight=False, markup=False, emoji=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())


def facts_text(rows: Iterable[tuple[str, str]]) -> str:
    """A table of a name and a text each, without a head."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table_text(table)
