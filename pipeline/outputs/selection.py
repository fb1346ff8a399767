"""Which records of an output are read, and as what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import OutputError, RunError
from pipeline.outputs import dataset
from pipeline.outputs.history import PublishedRun
from pipeline.outputs.latest import newest_rows, rows_by_shard, runs_of_newest_generation
from transforms.records import arrow, layout
from transforms.records.arrow import FEATURES, OWN, URI, ReadColumn, RecordReader
from transforms.records.tfrecord import DamagedRecordError
from transforms.stores import storage

BATCH_RECORDS = 1024


@dataclass(frozen=True)
class Selection:
    """Which records of an output are read, and as what.

    Attributes:
        feature_dim: values of an embedding.
        columns: that are read besides.
        places: (URI of a shard, int64 rows in ascending order).
        run: whose manifest tells how they were made: the newest of those that are read.
    """

    feature_dim: int
    columns: Sequence[ReadColumn]
    places: Sequence[tuple[str, np.ndarray]]
    run: PublishedRun

    @property
    def count(self) -> int:
        return sum(len(rows) for _, rows in self.places)

    def sampled(self, count: int, seed: int) -> Selection:
        """`count` of its records at random, the same ones for the same seed; all where there are no more."""
        if self.count <= count:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(self.count, count, replace=False))
        ends = np.cumsum([len(rows) for _, rows in self.places])
        parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
        starts = ends - [len(rows) for _, rows in self.places]
        places = zip(self.places, parts, starts, strict=True)
        return replace(self, places=[(shard, rows[part - start]) for (shard, rows), part, start in places if len(part)])

    @property
    def schema(self) -> pa.Schema:
        return arrow.schema_of(self.feature_dim, self.columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The records as batches of `schema`, one shard after the other.

        Raises:
            OutputError: a record does not hold, or is not there.
        """
        reader = RecordReader(self.feature_dim, self.columns)
        for shard, rows in self.places:
            try:
                yield from reader.read_rows(shard, rows.tolist(), BATCH_RECORDS)
            except DamagedRecordError as e:
                raise OutputError(f"{e}; `embed-images verify` tells what else does not hold") from None
            except arrow.DamagedExampleError as e:
                raise OutputError(f"{shard}: {e}; `embed-images verify` tells what else does not hold") from None


def select_features(
    output: str,
    *,
    run_id: str = "",
    columns: Sequence[str] | None = None,
    keep_deleted: bool = False,
    uris: Sequence[str] | None = None,
) -> Selection:
    """The newest record of every image, of the newest run's generation; or all records of one run.

    The ledgers are in memory meanwhile, up to 1 KB a row.

    Args:
        run_id: of one run; "" for the newest of all.
        columns: features that are read besides `uri`, `version` and `embedding`: those that runs carry, and
            `arrow.OWN`; None for all that are carried.
        keep_deleted: take images whose objects an incremental run has found deleted since, too.
        uris: of images, of which those that are there are read; None for all.

    Raises:
        RunError: no such run, or no such column.
        OutputError: a run that is needed cannot be read.
    """
    runs = runs_to_read(output, run_id)
    carried, wanted = kinds_of(runs), columns_to_read(runs, columns, output)
    rows = newest_rows(runs, keep_deleted=keep_deleted, counted=bool(carried.keys() & wanted.keys()))
    if uris is not None:
        rows = rows.filter(pc.is_in(rows[URI], pa.array(uris, pa.string())))
    spreads = {}
    if "counts" in rows.column_names:
        spreads = arrow.spread(rows["counts"].combine_chunks().unique().to_pylist(), list(carried))
    found = [
        ReadColumn(name, kind, spreads[name]) if name in carried else ReadColumn(name, kind)
        for name, kind in wanted.items()
    ]
    return Selection(runs[-1].manifest["model"]["feature_dim"], found, list(rows_by_shard(rows)), runs[-1])


def runs_to_read(output: str, run_id: str) -> list[PublishedRun]:
    """The one run of that id; of "" all that the newest vectors are in, the newest last.

    Raises:
        RunError: there is none.
        OutputError: a run that is needed cannot be read.
    """
    return [run_of(output, run_id)] if run_id else runs_of_newest_generation(output, all_of_them=True)


def columns_to_read(runs: Sequence[PublishedRun], columns: Sequence[str] | None, output: str) -> dict[str, str]:
    """The kinds of the columns that are asked for, by feature, each once; None asks for all that runs carry.

    Raises:
        RunError: one that records do not have, or of a name that tables have for another one.
    """
    carried = kinds_of(runs)
    wanted = list(carried) if columns is None else list(dict.fromkeys(columns))
    check_columns(wanted, carried, output)
    return {name: carried.get(name) or OWN[name] for name in wanted}


def kinds_of(runs: Sequence[PublishedRun]) -> dict[str, str]:
    """The kinds of all columns that runs carry, by feature."""
    return {entry["feature"]: entry["kind"] for run in runs for entry in run.manifest.get("columns", [])}


def run_of(output: str, run_id: str) -> PublishedRun:
    """Raises RunError when there is none."""
    output = storage.normalize(output)
    if run_id not in dataset.run_ids(output):
        raise RunError(f"{output}: no published run {run_id!r}; `embed-images runs` lists those that are there")
    folder = layout.run_folder(output, run_id)
    return PublishedRun(folder, dataset.read_manifest(folder))


def check_columns(wanted: Sequence[str], kinds: Mapping[str, str], output: str) -> None:
    """Raises RunError for a column that records do not have, or of a name that tables have for another one."""
    if missing := [name for name in wanted if name not in kinds and name not in OWN]:
        there = ", ".join(map(repr, [*kinds, *OWN]))
        raise RunError(f"{output}: its records have no column {missing[0]!r}; they have {there}")
    if clashing := [name for name in wanted if name in FEATURES]:
        others = ", ".join(map(repr, (name for name in wanted if name not in FEATURES)))
        raise RunError(
            f"{output}: the column {clashing[0]!r} of its records has a name that tables have for another one; "
            f"choose columns without it ({others or 'none'})"
        )
