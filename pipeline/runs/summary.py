"""What a run says at its end."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table

from pipeline.console.printable import counted, printable
from pipeline.console.tables import table_text
from pipeline.runs.running import RunReport
from pipeline.runs.status import last_lines
from transforms.inputs.choosing import EXCLUDED, NOT_SAMPLED
from transforms.inputs.kinds import NOT_CURRENT
from transforms.inputs.leaving_out import NO_EXTENSION

KINDS_SHOWN = 6  # of files that were left out; the manifest has more of them


def summary(report: RunReport) -> str:
    """A table: listed, embedded, failed by error, images/s, seconds by phase, where the run lies; and `last_lines`."""
    counts, model = report.manifest["counts"], report.manifest["model"]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(no_wrap=True)
    table.add_row("listed", f"{counts['listed']:,}")
    for part in ("unchanged", "failed_before", "outside", "over_limit", "new", "changed", "retried", "repeated"):
        if counts.get(part):
            table.add_row(part.replace("_", " "), f"{counts[part]:,}")
    table.add_row("embedded", f"{counts['embedded']:,}")
    if rewritten := counts.get("columns_changed"):
        table.add_row("  columns changed", f"{rewritten:,}")
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
    others = {**counts.get("left_out", {})}  # runs of earlier versions did not tell
    for kind in (EXCLUDED, NOT_SAMPLED, NOT_CURRENT):
        if not_chosen := others.pop(kind, 0):
            table.add_row(kind, f"{not_chosen:,}")
    if others:
        table.add_row("left out", printable(left_out_line(others)))
    table.add_row("run", printable(report.folder))
    return "\n".join([table_text(table), *map(printable, last_lines(report.folder, report.manifest))])


def kind_name(kind: str) -> str:
    """Of files that are left out, as it is shown."""
    return "no extension" if kind == NO_EXTENSION else kind


def left_out_line(left_out: Mapping[str, int]) -> str:
    """Such as: 1,234 files of other kinds (.txt 1,200, .json 30, no extension 2, 2 more kinds)."""
    shown = [f"{kind_name(kind)} {times:,}" for kind, times in list(left_out.items())[:KINDS_SHOWN]]
    if more := len(left_out) - len(shown):
        shown.append(f"{more} more kind{'s' if more > 1 else ''}")
    total = sum(left_out.values())
    return f"{counted(total, 'file')} of other kinds ({', '.join(shown)})"
