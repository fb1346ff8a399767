"""What a run says at its end."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.runs.running import RunReport


def summary(report: RunReport) -> str:
    """A table: listed, embedded, failed by error, images/s, seconds by phase, where the run lies."""
    counts, model = report.manifest["counts"], report.manifest["model"]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    table.add_row("listed", f"{counts['listed']:,}")
    for left_out in ("unchanged", "failed_before", "outside", "over_limit"):
        if counts[left_out]:
            table.add_row(left_out.replace("_", " "), f"{counts[left_out]:,}")
    table.add_row("embedded", f"{counts['embedded']:,}")
    table.add_row("failed", f"{counts['failed']:,}")
    for error, times in counts["failed_by_error"].items():
        table.add_row(f"  {error}", f"{times:,}")
    if counts["duplicates"]:
        table.add_row("of them copies", f"{counts['duplicates']:,}")
    if counts["deleted"]:
        table.add_row("deleted", f"{counts['deleted']:,}")
    if report.images:
        table.add_row("images/s", f"{report.images_per_second:,.1f}")
        table.add_row("seconds", ", ".join(f"{phase} {s:.1f}" for phase, s in report.seconds.items()))
    table.add_row("engine", f"{model['engine']} {model['precision']}, {model['feature_dim']} features")
    table.add_row("run", escape(report.folder))
    text = StringIO()
    Console(file=text, width=10_000, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip().splitlines())
