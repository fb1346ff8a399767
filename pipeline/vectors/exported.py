"""Searching an export instead of the records that it was made of: the same vectors, read many times faster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console.logs import logger
from pipeline.errors import OutputError, RunError
from pipeline.outputs.exports import PublishedExport, current_export
from pipeline.outputs.history import PublishedRun
from pipeline.outputs.latest import runs_of_newest_generation
from pipeline.vectors import indexed
from pipeline.vectors.scoring import THREADS, Block, Hit, nearest, nearest_of_parts
from transforms.exports import reading
from transforms.records.arrow import URI, VERSION
from transforms.stores import storage
from transforms.stores.secrets import redacted

PLACE = "place"  # what blocks tell of a row, by which the rest is read of those that are found


class Part(NamedTuple):
    """A file of vectors, `size` of them, the first of which is the vector `first` of the export."""

    uri: str
    first: int
    size: int


@dataclass(frozen=True)
class Exported:
    """The vectors of an export.

    Attributes:
        export: that holds all of some runs' vectors, in files that are read.
        columns: that hits tell besides `version`.
        parts: its files of vectors.
    """

    export: PublishedExport
    columns: Sequence[str]
    parts: Sequence[Part]

    @property
    def run(self) -> PublishedRun:
        """The newest run in it, as far as it tells how vectors were made."""
        manifest = self.export.manifest
        return PublishedRun(self.export.folder, {**manifest, "run_id": manifest["runs"][-1]})

    @property
    def count(self) -> int:
        return sum(part.size for part in self.parts)

    def nearest(self, query: np.ndarray, k: int, *, exact: bool = False) -> list[Hit]:
        """As `scoring.nearest`; of an index of lists, unless `exact`, the nearest of those in the lists looked into.

        Raises:
            RunError: an index is there, and FAISS is not installed.
            OutputError: a file is not what exports write.
        """
        if self.export.manifest["format"] == "faiss" and not exact and indexed.has_lists(self.export.folder):
            blocks = self._blocks_at(indexed.candidates(self.export.folder, query, k, self.count))
            return self._told(nearest(blocks, query, k))
        return self._told(nearest_of_parts(map(self._blocks, self.parts), query, k))

    def vector_of(self, uri: str) -> tuple[str, np.ndarray]:
        """(uri, float32 [features]) of an image by the uri that is exported, or another spelling of it.

        Raises:
            RunError: it has no vector of it.
        """
        spellings = list(dict.fromkeys([uri, storage.normalize(uri)]))
        with ThreadPoolExecutor(THREADS) as threads:
            places = threads.map(partial(_places_of, pa.array(spellings, pa.string())), self.parts)
            found = {each: place for in_part in places for each, place in in_part.items()}
        for spelling in spellings:
            if spelling in found:
                part, row = found[spelling]
                return spelling, reading.vectors_at(part.uri, np.array([row]))[0]
        raise RunError(
            f"{redacted(uri)}: the export {self.export.folder} has no vector of it; --image embeds a file or URI "
            f"that is not there"
        )

    def _blocks(self, part: Part) -> Iterator[Block]:
        features = self.export.manifest["model"]["feature_dim"]
        row = 0
        for vectors in reading.blocks(part.uri):
            if vectors.shape[1] != features or row + len(vectors) > part.size:
                break
            yield _block(part, np.arange(row, row + len(vectors)), vectors)
            row += len(vectors)
        if row != part.size:
            raise OutputError(
                f"{part.uri}: it does not hold the {part.size:,} vectors of {features:,} values "
                f"that the export tells of"
            )

    def _blocks_at(self, places: np.ndarray) -> Iterator[Block]:
        for part in self.parts:
            low, high = np.searchsorted(places, [part.first, part.first + part.size])
            if low < high:
                rows = places[low:high] - part.first
                yield _block(part, rows, reading.vectors_at(part.uri, rows))

    def _told(self, hits: Sequence[Hit]) -> list[Hit]:
        """Hits that tell a place, with what stands there."""
        places = np.sort(np.array([hit.told[PLACE] for hit in hits], np.int64))
        told: dict[int, dict[str, Any]] = {}
        for part in self.parts:
            low, high = np.searchsorted(places, [part.first, part.first + part.size])
            if low < high:
                table = reading.rows_at(part.uri, places[low:high] - part.first, [VERSION, *self.columns])
                told |= dict(zip(places[low:high].tolist(), table.to_pylist(), strict=True))
        return [hit._replace(told=told[hit.told[PLACE]]) for hit in hits]


def open_export(output: str, folder: str, columns: Sequence[str] | None = None) -> Exported:
    """The current export in a folder, of the newest generation of an output; a line tells which runs it lacks.

    Args:
        columns: that hits tell; None for all that are exported.

    Raises:
        RunError: there is none, of another generation, without such a column, or one whose vectors are not read.
        OutputError: what is there is not what exports write.
    """
    folder = storage.normalize(folder)
    export = current_export(folder)
    if export is None:
        raise RunError(f"--export: {folder} holds no export; `embed-images export {output} --to {folder}` makes one")
    manifest = export.manifest
    if export.by_changes or not all(uri.endswith((reading.NPY, reading.PARQUET)) for uri in export.files):
        what = "changes only" if export.by_changes else f"vectors as {manifest['format']}"
        raise RunError(
            f"--export: {export.folder} holds {what}; searched are exports as parquet, npy, faiss, tensorboard"
        )
    there = [entry["feature"] for entry in manifest["columns"]]
    wanted = there if columns is None else list(dict.fromkeys(columns))
    if missing := [name for name in wanted if name not in there]:
        raise RunError(
            f"{export.folder}: the export has no column {missing[0]!r}; it has {', '.join(map(repr, there)) or 'none'}"
        )
    _check_runs(export, output)
    records = {storage.join(export.folder, entry["path"]): entry["records"] for entry in manifest["files"]}
    counts = [records[uri] for uri in export.files]
    firsts = np.cumsum([0, *counts]).tolist()
    return Exported(export, wanted, [Part(*each) for each in zip(export.files, firsts, counts, strict=False)])


def _check_runs(export: PublishedExport, output: str) -> None:
    """Refuses an export of another generation, and says what it lacks."""
    runs = runs_of_newest_generation(output)
    ours, its = runs[-1].generation, export.manifest["generation"]
    if its != ours:
        differing = ", ".join(name for name in {**ours, **its} if ours.get(name) != its.get(name))
        raise RunError(
            f"--export: the vectors of {export.folder} cannot be compared with those of {output}'s newest run, "
            f"{runs[-1].run_id} ({differing}); export that again"
        )
    known = set(export.manifest["identity"]["of"]["runs"])
    held = {text.partition(" ")[0] for text in known}
    lacking = [
        run
        for run in runs
        if f"{run.run_id} {run.manifest['attempt']}" not in known
        and not (run.compacted and held.issuperset(run.compacted))
    ]
    if lacking:
        logger.info(
            "%s lacks %d of the %d runs of %s; export again to search them, too",
            export.folder, len(lacking), len(runs), output,
        )  # fmt: skip


def _places_of(wanted: pa.Array, part: Part) -> dict[str, tuple[Part, int]]:
    """By uri, where those of the wanted ones are that a file has."""
    found: dict[str, tuple[Part, int]] = {}
    row = 0
    for uris in reading.column_of(part.uri, URI):
        here = pc.indices_nonzero(pc.is_in(uris, wanted)).to_pylist()
        found |= {uris[i].as_py(): (part, row + i) for i in here}
        row += len(uris)
    return found


def _block(part: Part, rows: np.ndarray, vectors: np.ndarray) -> Block:
    """Rows of a file, in ascending order, whose uris are read when one is asked for."""
    uris = _LateUris(partial(_uris_at, part.uri, rows), len(rows))
    return Block(uris, vectors, pa.RecordBatch.from_pydict({PLACE: part.first + rows}))


def _uris_at(uri: str, rows: np.ndarray) -> list[str]:
    uris: list[str] = reading.rows_at(uri, rows, [URI]).column(URI).to_pylist()
    return uris


class _LateUris(Sequence[str]):
    """Uris that are read at once when the first of them is needed: most blocks hold nothing that is found."""

    def __init__(self, read: Callable[[], list[str]], count: int):
        self._read = read
        self._count = count
        self._uris: list[str] | None = None

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: int | slice) -> str | list[str]:
        if self._uris is None:
            self._uris = self._read()
        return self._uris[row]
