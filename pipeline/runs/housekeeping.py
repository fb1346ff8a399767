"""embed-images runs: what an output holds, and what attempts that ended have left in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from io import StringIO
from posixpath import basename
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.outputs.history import published_runs
from pipeline.outputs.lease import holder_of
from pipeline.runs.resuming import STAGED_LEDGER
from transforms.records import layout
from transforms.stores import filesystems, storage


@dataclass(frozen=True)
class RunEntry:
    """A published run.

    Attributes:
        generation: number of the kind of vectors, 1 for the output's first.
        bytes: of its shards.
    """

    run_id: str
    finished: str
    generation: int
    embedded: int
    failed: int
    deleted: int
    bytes: int


@dataclass(frozen=True)
class LeftBehind:
    """A run id with staged files and no published run.

    Attributes:
        finished_shards: that the same command would take over.
        bytes: of all its files.
        holder: who works at it; empty when nobody does, and it may be pruned.
    """

    run_id: str
    finished_shards: int
    bytes: int
    holder: str


@dataclass(frozen=True)
class Contents:
    published: list[RunEntry]
    left_behind: list[LeftBehind]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def as_text(self) -> str:
        table = Table(box=None, pad_edge=False)
        for name in ("run", "finished", "generation", "embedded", "failed", "deleted", "MB"):
            table.add_column(name, justify="left" if name in ("run", "finished") else "right", no_wrap=True)
        for run in self.published:
            counts = (run.generation, run.embedded, run.failed, run.deleted)
            table.add_row(
                escape(run.run_id), run.finished, *(f"{count:,}" for count in counts), f"{run.bytes / 1e6:,.1f}"
            )
        text = StringIO()
        Console(file=text, width=10_000, highlight=False).print(table if self.published else "no published run")
        lines = [line.rstrip() for line in text.getvalue().rstrip().splitlines()]
        for left in self.left_behind:
            state = f"held by {left.holder}" if left.holder else "nobody works at it"
            shards = f"{left.finished_shards:,} finished shards, {left.bytes / 1e6:,.1f} MB"
            lines.append(f"left behind: {left.run_id}: {shards}; {state}")
        return "\n".join(lines)


def contents_of(output: str) -> Contents:
    """The published runs of an output in the order of time, and what is left of others."""
    output = storage.normalize(output)
    generations: list[Any] = []
    published = []
    for run in published_runs(output):
        if run.generation not in generations:
            generations.append(run.generation)
        counts = run.manifest["counts"]
        published.append(
            RunEntry(
                run_id=run.run_id,
                finished=run.manifest["finished"],
                generation=generations.index(run.generation) + 1,
                embedded=counts["embedded"],
                failed=counts["failed"],
                deleted=counts["deleted"],
                bytes=sum(shard["bytes"] for shard in run.manifest["shards"]),
            )
        )
    return Contents(published, _left_behind(output))


def prune(output: str) -> list[LeftBehind]:
    """Removes what attempts have left that nobody works at; gives what was removed.

    A job on a cluster whose launcher has died is not seen to be alive: see docs/operations.md.
    """
    output = storage.normalize(output)
    removed = [left for left in _left_behind(output) if not left.holder]
    for left in removed:
        storage.remove_folder(layout.staging_folder(output, left.run_id))
        folder = layout.run_folder(output, left.run_id)
        if not storage.exists(storage.join(folder, layout.SUCCESS)):
            storage.remove_folder(folder)
    return removed


def _left_behind(output: str) -> list[LeftBehind]:
    found = []
    for run_id in sorted(_folders(layout.staging_folder(output, "")) | _unfinished(output)):
        folder = layout.staging_folder(output, run_id)
        details = filesystems.filesystem(folder).find(folder, detail=True)
        found.append(
            LeftBehind(
                run_id=run_id,
                finished_shards=sum(bool(STAGED_LEDGER.search(path)) for path in details),
                bytes=sum(int(detail["size"] or 0) for detail in details.values()),
                holder=holder_of(output, run_id),
            )
        )
    return found


def _unfinished(output: str) -> set[str]:
    """Run ids whose publish ended in the middle."""
    runs = _folders(storage.join(output, "runs"))
    return {name for name in runs if not storage.exists(storage.join(layout.run_folder(output, name), layout.SUCCESS))}


def _folders(parent: str) -> set[str]:
    parent = parent.rstrip("/")
    fs = filesystems.filesystem(parent)
    return {basename(path.rstrip("/")) for path in fs.ls(parent, detail=False)} if fs.isdir(parent) else set()
