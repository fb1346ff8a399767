"""The latest view: where the newest vector of every image of an output lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import RunError
from pipeline.outputs.dataset import READERS
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


def latest(output: str, *, keep_deleted: bool = False) -> pa.Table:
    """Selects the newest vector of every image, of the newest run's generation.

    All ledgers of the generation are in memory, up to 1 KB a row; `compact` needs no such memory.

    Args:
        keep_deleted: take images whose objects an incremental run has found deleted since, too.

    Returns:
        A table of `SCHEMA`, each uri once: the file that holds the record (a URI) and its place in it, in the order
        of both.

    Raises:
        RunError: the output has no published run.
    """
    newest = newest_rows(runs_of_newest_generation(output), keep_deleted=keep_deleted)
    return newest.select(SCHEMA.names)


def newest_rows(runs: Sequence[PublishedRun], *, keep_deleted: bool = False, counted: bool = False) -> pa.Table:
    """As `latest`, of some runs of one generation, the newest last.

    Args:
        counted: with a further column `counts`, how many values each column has (`arrow.counts`), dictionary-encoded.
    """
    outcomes = ("embedded",) if keep_deleted else ("embedded", "deleted")
    schema = pa.schema([*_schema(counted), pa.field("outcome", pa.string()), pa.field("run", pa.int64())])
    tables = _by_ledger(runs, lambda run, number, path: _rows_of(run, number, path, outcomes, schema))
    every = pa.concat_tables([schema.empty_table(), *tables])
    rows = every.unify_dictionaries().sort_by([("uri", "ascending"), ("run", "descending")])
    uris = rows["uri"].combine_chunks()
    first = np.ones(len(uris), bool)
    if len(uris) > 1:
        first[1:] = pc.not_equal(uris[1:], uris[:-1]).to_numpy(zero_copy_only=False)
    newest = rows.filter(pa.array(first))
    newest = newest.filter(pc.equal(newest["outcome"], "embedded"))
    chosen = newest.select(_schema(counted).names).cast(_schema(counted))
    return chosen.sort_by([("shard", "ascending"), ("row", "ascending")])


def count_newest(runs: Sequence[PublishedRun]) -> dict[str, int]:
    """By run id, how many images that are not gone have their newest vector in the run; of those that have some.

    It takes a fraction of the memory and time of `newest_rows`.

    Args:
        runs: of one generation, the newest last.
    """
    schema = pa.schema([pa.field("uri", pa.string()), pa.field("met", pa.int64())])

    def met_by(run: PublishedRun, number: int, path: str) -> pa.Table:
        """Of each image the number of the run, doubled, and one more where it is embedded."""
        tables = [schema.empty_table()]
        for batch in read_columns(storage.join(run.folder, path), ["uri", "outcome"]):
            batch = batch.filter(pc.is_in(batch["outcome"], pa.array(["embedded", "deleted"])))
            embedded = pc.equal(batch["outcome"], "embedded").cast(pa.int64())
            tables.append(pa.table({"uri": batch["uri"], "met": pc.add(embedded, 2 * number)}).cast(schema))
        return pa.concat_tables(tables)

    every = pa.concat_tables([schema.empty_table(), *_by_ledger(runs, met_by)])
    newest = every.group_by("uri").aggregate([("met", "max")])["met_max"]
    counts = {run.run_id: 0 for run in runs}
    for counted in pc.value_counts(newest).to_pylist():
        if counted["values"] % 2:
            counts[runs[counted["values"] // 2].run_id] += counted["counts"]
    return {run_id: count for run_id, count in counts.items() if count}


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


def _by_ledger(runs: Sequence[PublishedRun], read: Callable[[PublishedRun, int, str], pa.Table]) -> Iterator[pa.Table]:
    """What `read` makes of each ledger (its run, the number of that, its name), some at once.

    A year of nights is some hundred small files, and each of a store a request.
    """
    ledgers = [(run, number, ledger["path"]) for number, run in enumerate(runs) for ledger in run.manifest["ledgers"]]
    with ThreadPoolExecutor(READERS) as readers:
        yield from readers.map(lambda ledger: read(*ledger), ledgers)


def _rows_of(run: PublishedRun, number: int, ledger: str, outcomes: Sequence[str], schema: pa.Schema) -> pa.Table:
    """The rows of a ledger with one of these outcomes."""
    counted, tables = "counts" in schema.names, [schema.empty_table()]
    columns = ["uri", "version", "shard", "row", "outcome", *(["columns"] if counted else [])]
    for batch in read_columns(storage.join(run.folder, ledger), columns):
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
