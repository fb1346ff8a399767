"""Which runs a compaction has made superfluous: by what manifests say, and proven from the ledgers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outputs.history import PublishedRun
from pipeline.outputs.latest import newest_rows
from transforms.records import documents, layout
from transforms.records.ledger import read_columns
from transforms.records.output_error import OutputError
from transforms.stores import storage


class Forgotten(NamedTuple):
    """What an output no longer knows without some runs, besides what a compaction holds.

    Attributes:
        vectors: of images that are gone.
        failed: images that could not be decoded, which incremental runs leave alone.
        containers: that were read, which incremental runs do not open again.
    """

    vectors: int = 0
    failed: int = 0
    containers: int = 0


def held_by(runs: Sequence[PublishedRun]) -> dict[str, str]:
    """By id, the newest compaction that says that it holds the newest vectors of an earlier run.

    A run id may have been used anew since: such a run is later than the compaction, and not in it.

    Args:
        runs: the newest last.
    """
    held: dict[str, str] = {}
    places = {run.run_id: place for place, run in enumerate(runs)}
    for place, compaction in enumerate(runs):
        for run_id in compaction.compacted:
            earlier = places.get(run_id, place)
            if earlier < place and runs[earlier].generation == compaction.generation:
                held[run_id] = compaction.run_id
    return held


def half_removed(output: str, run_ids: Iterable[str], runs: Sequence[PublishedRun]) -> list[str]:
    """Of the ids of runs that are not published, those that once were, and that a compaction then held.

    Their mark was removed, and the removal of the rest has not come to its end.
    """
    compactions = [run for run in runs if run.compacted]
    return [
        run_id
        for run_id in run_ids
        if any(run_id in run.compacted and _was_before(output, run_id, run) for run in compactions)
    ]


def _was_before(output: str, run_id: str, compaction: PublishedRun) -> bool:
    try:
        manifest = documents.read_manifest(layout.run_folder(output, run_id), run_id)
    except (FileNotFoundError, OutputError):
        return False
    earlier = datetime.fromisoformat(manifest["as_of"]) < datetime.fromisoformat(compaction.manifest["as_of"])
    return earlier and bool(manifest["generation"] == compaction.generation)


def superfluous(runs: Sequence[PublishedRun]) -> dict[str, str]:
    """As `held_by`, of the runs without which every newest vector is the same one, in the same place.

    Proven from the ledgers: of all runs, and of those that would stay, the newest rows are equal. So none of these runs
    holds a newest record, nor the word that an image is gone of which a run that stays has a record.

    Args:
        runs: of one generation, the newest last.
    """
    held = held_by(runs)
    before = newest_rows(runs)
    needed = set(before["run_id"].unique().to_pylist())
    removable = {run_id for run_id in held if run_id not in needed}
    while removable:
        after = newest_rows([run for run in runs if run.run_id not in removable])
        if after.equals(before):
            break
        back = pc.filter(after["uri"], pc.invert(pc.is_in(after["uri"], before["uri"].combine_chunks())))
        saying = {run.run_id for run in runs if run.run_id in removable and _tells_of(run, back.combine_chunks())}
        removable = removable - saying if saying else set()
    return {run.run_id: held[run.run_id] for run in runs if run.run_id in removable}


def forgotten(runs: Sequence[PublishedRun], removable: Collection[str]) -> Forgotten:
    """What is lost with some runs of one generation.

    Args:
        runs: all of them, the newest last.
    """
    stay = [run for run in runs if run.run_id not in removable]
    vectors = len(newest_rows(runs, keep_deleted=True)) - len(newest_rows(stay, keep_deleted=True))
    told = pa.array(["failed", "read"])
    known = {
        uri
        for run in runs if run.run_id in removable
        for uris, outcomes in _rows_of(run)
        for uri in uris.filter(pc.is_in(outcomes, told)).to_pylist()
    }  # fmt: skip
    newest: dict[str, tuple[str, str]] = {}
    for run in runs:
        for uris, outcomes in () if run.compacted else _rows_of(run):
            chosen = pc.is_in(uris, pa.array(known, pa.string()))
            rows = zip(uris.filter(chosen).to_pylist(), outcomes.filter(chosen).to_pylist(), strict=True)
            newest |= {uri: (outcome, run.run_id) for uri, outcome in rows}
    lost = [outcome for outcome, run_id in newest.values() if run_id in removable]
    return Forgotten(vectors, lost.count("failed"), lost.count("read"))


def _tells_of(run: PublishedRun, gone: pa.Array) -> bool:
    """Whether a run says of one of these uris that it is gone."""
    return any(
        pc.any(pc.and_(pc.is_in(uris, gone), pc.equal(outcomes, "deleted"))).as_py() for uris, outcomes in _rows_of(run)
    )


def _rows_of(run: PublishedRun) -> Iterable[tuple[pa.Array, pa.Array]]:
    ledgers: Sequence[Mapping[str, str]] = run.manifest["ledgers"]
    for ledger in ledgers:
        for batch in read_columns(storage.join(run.folder, ledger["path"]), ["uri", "outcome"]):
            yield batch["uri"], batch["outcome"]
