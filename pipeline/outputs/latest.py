"""The latest view: where the newest vector of every image of an output lies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import RunError
from pipeline.outputs.history import PublishedRun, published_runs
from transforms.records import arrow
from transforms.records.ledger import read_columns
from transforms.stores import storage

SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
        pa.field("shard", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
    ]
)


def latest(output: str, *, drop_deleted: bool = False) -> pa.Table:
    """Selects the newest vector of every image, of the newest run's generation.

    All ledgers of the generation are in memory, some 100 bytes a row; `compact` needs no such memory.

    Args:
        drop_deleted: leave out images whose objects an incremental run has found deleted since.

    Returns:
        A table of `SCHEMA`, each uri once: the file that holds the record (a URI) and its place in it, in the order
        of both.

    Raises:
        RunError: the output has no published run.
    """
    newest = newest_rows(runs_of_newest_generation(output), drop_deleted=drop_deleted)
    return newest.select(SCHEMA.names)


def newest_rows(runs: Sequence[PublishedRun], *, drop_deleted: bool = False, counted: bool = False) -> pa.Table:
    """As `latest`, of some runs of one generation, the newest last.

    Args:
        counted: with a further column `counts`, how many values each column has (`arrow.counts`), dictionary-encoded.
    """
    outcomes = ("embedded", "deleted") if drop_deleted else ("embedded",)
    tables = [_ledgers_of(run, number, outcomes, counted) for number, run in enumerate(runs)]
    rows = pa.concat_tables(tables).unify_dictionaries().sort_by([("uri", "ascending"), ("run", "descending")])
    uris = rows["uri"].combine_chunks()
    first = np.ones(len(uris), bool)
    if len(uris) > 1:
        first[1:] = pc.not_equal(uris[1:], uris[:-1]).to_numpy(zero_copy_only=False)
    newest = rows.filter(pa.array(first))
    newest = newest.filter(pc.equal(newest["outcome"], "embedded"))
    schema = _schema(counted)
    return newest.select(schema.names).cast(schema).sort_by([("shard", "ascending"), ("row", "ascending")])


def rows_by_shard(selection: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """(URI of a shard, int64 rows in ascending order) of a table that `latest` gave."""
    encoded = selection["shard"].combine_chunks().dictionary_encode()
    shards, rows = encoded.indices.to_numpy(), selection["row"].to_numpy()
    for number, shard in enumerate(encoded.dictionary.to_pylist()):
        yield shard, rows[shards == number]


def runs_of_newest_generation(output: str, *, all_of_them: bool = False) -> list[PublishedRun]:
    """Those whose vectors can be compared with the newest run's, the newest last.

    Args:
        all_of_them: see `published_runs`.

    Raises:
        RunError: the output has no published run.
        OutputError: see `published_runs`.
    """
    runs = published_runs(storage.normalize(output), all_of_them=all_of_them)
    if not runs:
        raise RunError(f"{output}: no published run; they lie in {storage.join(output, 'runs')}")
    return [run for run in runs if run.generation == runs[-1].generation]


def _ledgers_of(run: PublishedRun, number: int, outcomes: Sequence[str], counted: bool) -> pa.Table:
    ledgers: Sequence[Mapping[str, str]] = run.manifest["ledgers"]
    schema = pa.schema([*_schema(counted), pa.field("outcome", pa.string()), pa.field("run", pa.int64())])
    tables = [schema.empty_table()]
    for ledger in ledgers:
        columns = ["uri", "version", "shard", "row", "outcome", *(["columns"] if counted else [])]
        for batch in read_columns(storage.join(run.folder, ledger["path"]), columns):
            table = pa.Table.from_batches([batch])
            table = table.filter(pc.is_in(table["outcome"], pa.array(outcomes)))
            shards = pc.binary_join_element_wise(run.folder, table["shard"], "/")
            table = table.set_column(table.schema.get_field_index("shard"), "shard", shards)
            table = table.append_column("run_id", pa.repeat(run.run_id, len(table)))
            table = table.append_column("run", pa.repeat(number, len(table)))
            if counted:
                numbers = [arrow.counts(carried or "") for carried in table["columns"].to_pylist()]
                table = table.append_column("counts", pa.array(numbers, pa.string()).dictionary_encode())
            tables.append(table.select(schema.names).cast(schema))
    return pa.concat_tables(tables)


def _schema(counted: bool) -> pa.Schema:
    counts = pa.field("counts", pa.dictionary(pa.int32(), pa.string()))
    return pa.schema([*SCHEMA, counts]) if counted else SCHEMA
