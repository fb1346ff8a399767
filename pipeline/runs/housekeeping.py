"""embed-images runs: what an output holds, and what attempts that ended have left in it."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from pipeline.console.printable import printable
from pipeline.console.tables import table_text
from pipeline.outputs.dataset import run_ids
from pipeline.outputs.history import published_runs
from pipeline.outputs.lease import holder_of
from pipeline.runs.resuming import finished_shards
from transforms.records import layout, removal
from transforms.stores import folders, storage

SHOWN = 5  # paths of others
# A launcher that knows that its job has ended says so. Of what it does not know, nothing is pruned for a day: a cluster
# may hold a job back for hours before it works, or between two of its stages.
SILENT_SECONDS = 24 * 3600.0


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
    """Attributes:
    foreign: paths within the output, among the folders of runs, of what no run has written.
    """

    published: list[RunEntry]
    left_behind: list[LeftBehind]
    foreign: list[str]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def as_text(self) -> str:
        table = Table(box=None, pad_edge=False)
        for name in ("run", "finished", "generation", "embedded", "failed", "deleted", "MB"):
            table.add_column(name, justify="left" if name in ("run", "finished") else "right", no_wrap=True)
        for run in self.published:
            counts = (run.generation, run.embedded, run.failed, run.deleted)
            table.add_row(
                printable(run.run_id),
                printable(run.finished),
                *(f"{count:,}" for count in counts),
                f"{run.bytes / 1e6:,.1f}",
            )
        lines = table_text(table).splitlines() if self.published else ["no published run"]
        for left in self.left_behind:
            state = f"held by {left.holder}" if left.holder else "nobody works at it"
            shards = f"{left.finished_shards:,} finished shards, {left.bytes / 1e6:,.1f} MB"
            lines.append(printable(f"left behind: {left.run_id}: {shards}; {state}"))
        if self.foreign:
            more = ", …" if len(self.foreign) > SHOWN else ""
            lines.append(printable(f"not written by runs, left alone: {', '.join(self.foreign[:SHOWN])}{more}"))
        return "\n".join(lines)


def contents_of(output: str) -> Contents:
    """The published runs of an output in the order of time, and what is left of others."""
    output = storage.normalize(output)
    generations: list[Any] = []
    published = []
    for run in published_runs(output, all_of_them=False):
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
    left_behind, foreign = _left_behind(output)
    return Contents(published, left_behind, foreign)


def prune(output: str) -> list[LeftBehind]:
    """Removes what attempts have left that nobody works at; gives what was removed. What no run has written stays.

    What a job elsewhere has left, and nobody has seen end, is left alone for a day after its last sign of life.
    """
    output = storage.normalize(output)
    removed = [left for left in contents_of(output).left_behind if not left.holder]
    for left in removed:
        removal.remove_staging(output, left.run_id)
        removal.remove_unpublished(output, left.run_id)
    return removed


def _left_behind(output: str) -> tuple[list[LeftBehind], list[str]]:
    """What attempts have left, and paths within the output of what is not ours."""
    candidates, foreign = _not_published(output)
    found = []
    for run_id in sorted({run_id for _, run_id in candidates}):
        places = [place for place in (layout.STAGING, layout.RUNS) if (place, run_id) in candidates]
        claimed = [place for place in places if removal.is_claimed(output, place, run_id)]
        foreign += [storage.join(place, run_id) for place in places if place not in claimed]
        sizes: dict[str, int] = {}
        for place in claimed:
            for name, size in removal.sizes_in(output, place, run_id).items():
                if layout.is_written_here(place, name):
                    sizes[storage.join(place, name)] = size
                else:
                    foreign.append(storage.join(place, run_id, name))
        if claimed:
            shards = len(finished_shards(output, run_id))
            found.append(LeftBehind(run_id, shards, sum(sizes.values()), holder_of(output, run_id, SILENT_SECONDS)))
    return found, sorted(foreign)


def _not_published(output: str) -> tuple[set[tuple[str, str]], list[str]]:
    """(place, name) of folders that may be of runs that are not published, and paths of what cannot be."""
    candidates, foreign = set(), []
    published = set(run_ids(output))
    for place in (layout.STAGING, layout.RUNS):
        for name, is_folder in folders.entries(storage.join(output, place)):
            if not is_folder or not re.fullmatch(layout.RUN_ID, name):
                foreign.append(storage.join(place, name))
            elif place == layout.STAGING or name not in published:
                candidates.add((place, name))
    return candidates, foreign
