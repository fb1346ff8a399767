"""embed-images runs: what an output holds, and what attempts that ended have left in it."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

from pipeline.console.printable import counted, printable
from pipeline.console.tables import table_text
from pipeline.outputs.compactions import half_removed, held_by
from pipeline.outputs.dataset import run_ids
from pipeline.outputs.history import PublishedRun, published_runs
from pipeline.outputs.lease import holder_of
from pipeline.runs.resuming import finished_shards
from transforms.records import documents, layout, removal
from transforms.records.output_error import OutputError
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
        model: its handle.
        listed: images; of a compaction, those whose newest vectors it holds.
        new, changed: of these; None where the run did not tell.
        bytes: of all its files but run.json.
        compacted: runs in it, where it is a compaction.
        held_by: the compaction that holds its newest vectors, and makes it superfluous; "" where none does.
    """

    run_id: str
    finished: str
    generation: int
    model: str
    listed: int
    new: int | None
    changed: int | None
    embedded: int
    failed: int
    deleted: int
    bytes: int
    compacted: int = 0
    held_by: str = ""


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

    def as_line(self) -> str:
        state = f"held by {self.holder}" if self.holder else "nobody works at it"
        shards = counted(self.finished_shards, "finished shard")
        return f"left behind: {self.run_id}: {shards}, {self.bytes / 1e6:,.1f} MB; {state}"


@dataclass(frozen=True)
class Contents:
    """Attributes:
    models: of each generation, in words.
    half_removed: ids of superfluous runs whose removal has not come to its end.
    foreign: paths within the output, among the folders of runs, of what no run has written.
    """

    published: list[RunEntry]
    left_behind: list[LeftBehind]
    foreign: list[str]
    models: list[str] = field(default_factory=list)
    half_removed: list[str] = field(default_factory=list)

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=2)

    def as_text(self) -> str:
        lines = [*_table(self.published), *self._totals()] if self.published else ["no published run"]
        lines += [printable(left.as_line()) for left in self.left_behind]
        for run_id in self.half_removed:
            lines.append(printable(f"half removed: {run_id}; --prune_compacted removes the rest of it"))
        if self.foreign:
            more = ", …" if len(self.foreign) > SHOWN else ""
            lines.append(printable(f"not written by runs, left alone: {', '.join(self.foreign[:SHOWN])}{more}"))
        return "\n".join(lines)

    def _totals(self) -> Iterator[str]:
        for number, model in enumerate(self.models, start=1):
            yield printable(f"generation {number}: {model}")
        yield f"{_runs(self.published)} in all"
        if held := [run for run in self.published if run.held_by]:
            yield f"superfluous: {_runs(held)}; --prune_compacted removes what is proven to be"


def _table(published: Sequence[RunEntry]) -> list[str]:
    table = Table(box=None, pad_edge=False)
    left = ("run", "finished", "")
    for name in ("run", "finished", "generation", "listed", "new", "changed", "embedded", "failed", "gone", "MB", ""):
        table.add_column(name, justify="left" if name in left else "right", no_wrap=True)
    for run in published:
        note = f"superfluous: its newest vectors are in {run.held_by}" if run.held_by else ""
        if run.compacted:
            note = "; ".join([f"compaction of {run.compacted:,} runs", *([note] if note else [])])
        counts = (run.generation, run.listed, run.new, run.changed, run.embedded, run.failed, run.deleted)
        table.add_row(
            printable(run.run_id),
            printable(run.finished),
            *("-" if count is None else f"{count:,}" for count in counts),
            f"{run.bytes / 1e6:,.1f}",
            printable(note),
        )
    return table_text(table).splitlines()


def _runs(runs: Sequence[RunEntry]) -> str:
    return f"{counted(len(runs), 'run')}, {sum(run.bytes for run in runs) / 1e6:,.1f} MB"


def contents_of(output: str) -> Contents:
    """The published runs of an output in the order of time, and what is left of others."""
    output = storage.normalize(output)
    runs = published_runs(output, all_of_them=False)
    held = held_by(runs)
    generations: list[Any] = []
    models: list[str] = []
    published = []
    for run in runs:
        model, counts = run.manifest["model"], run.manifest["counts"]
        if run.generation not in generations:
            generations.append(run.generation)
            models.append("")
        generation = generations.index(run.generation)
        models[generation] = (
            f"{model['handle']} ({model['digest'][:12]}), {model['precision']}, {model['feature_dim']:,} features"
        )
        files = [entry for kind in (*layout.KINDS.values(), "ledgers") for entry in run.manifest[kind]]
        published.append(
            RunEntry(
                run_id=run.run_id,
                finished=run.manifest["finished"],
                generation=generation + 1,
                model=model["handle"],
                listed=counts["listed"],
                new=counts.get("new"),
                changed=counts.get("changed"),
                embedded=counts["embedded"],
                failed=counts["failed"],
                deleted=counts["deleted"],
                bytes=sum(entry["bytes"] for entry in files),
                compacted=len(run.compacted),
                held_by=held.get(run.run_id, ""),
            )
        )
    left_behind, foreign = _left_behind(output, half := half_removed_in(output, runs))
    return Contents(published, left_behind, foreign, models, half)


def half_removed_in(output: str, runs: Sequence[PublishedRun]) -> list[str]:
    """Ids of superfluous runs whose removal has not come to its end."""
    candidates, _ = _not_published(output)
    return half_removed(output, sorted(run_id for place, run_id in candidates if place == layout.RUNS), runs)


def refused_in(output: str) -> list[PublishedRun]:
    """Runs that failed too often, of which the dead letters are kept; what cannot be read is passed over."""
    found = []
    for name, is_folder in folders.entries(storage.join(output, layout.REFUSED)):
        if is_folder and re.fullmatch(layout.RUN_ID, name):
            folder = layout.refused_folder(output, name)
            with contextlib.suppress(FileNotFoundError, OutputError):
                found.append(PublishedRun(folder, documents.read_manifest(folder, name)))
    return [run for run in found if "refused" in run.manifest]


def left_behind_in(output: str, runs: Sequence[PublishedRun] | None = None) -> list[LeftBehind]:
    """What attempts have left, at work or not.

    Args:
        runs: the published ones, where they are known already.
    """
    if runs is None:
        runs = published_runs(output, all_of_them=False)
    return _left_behind(output, half_removed_in(output, runs))[0]


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


def _left_behind(output: str, half: Collection[str]) -> tuple[list[LeftBehind], list[str]]:
    """What attempts have left, and paths within the output of what is not ours; without runs that are half removed."""
    candidates, foreign = _not_published(output)
    candidates = {(place, run_id) for place, run_id in candidates if place != layout.RUNS or run_id not in half}
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
