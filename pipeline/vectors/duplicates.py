"""Groups of images of an output that are nearly the same."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console.printable import counted
from pipeline.errors import RunError
from pipeline.outputs.features import load_selection
from pipeline.outputs.selection import select_features
from pipeline.outputs.tables import JSON_LINES, write_table
from pipeline.vectors.candidates import NEIGHBOURS, SAMPLE, Candidates
from pipeline.vectors.components import Components
from pipeline.vectors.pairs import Pairs, cosines_of, near_pairs
from transforms.stores import storage

# Vectors of which all pairs are looked at; above, FAISS proposes them.
EXACT_UP_TO = 200_000
SCHEMA = pa.schema(
    [
        pa.field("group", pa.int64(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("cosine", pa.float64(), nullable=False),
    ]
)


class DuplicateGroup(NamedTuple):
    """Images that are near each other, or near to others that are.

    Attributes:
        uris: of them, sorted.
        cosines: of each to the first.
        least, most: of the cosines of its near pairs.
    """

    uris: tuple[str, ...]
    cosines: tuple[float, ...]
    least: float
    most: float


class Duplicates(NamedTuple):
    """Attributes:
    groups: of two and more images, in the order of their first uris.
    images: that were compared.
    exact: all pairs were looked at.
    recall: when not, the share of the near pairs of a sample that FAISS found; None where the sample has none.
    """

    groups: list[DuplicateGroup]
    images: int
    exact: bool
    recall: float | None = None


def find_duplicates(output: str, *, min_cosine: float = 0.97, run_id: str = "") -> Duplicates:
    """Finds groups of images whose vectors are near each other: connected components of near pairs.

    They are the newest vectors of every image, of the newest run's generation, without images that were found deleted;
    or all of one run. All are in memory, 4 bytes a value, and above `EXACT_UP_TO` of them, for FAISS, 1 more.

    Args:
        min_cosine: of a near pair, above 0 and up to 1.
        run_id: of one run; "" for the newest vectors of all.

    Raises:
        ValueError: no such `min_cosine`.
        RunError: no such run, or more vectors than can be compared without FAISS.
        OutputError: a run or a record that is needed cannot be read.
    """
    if not 0 < min_cosine <= 1:
        raise ValueError("min_cosine is above 0 and up to 1")
    chosen = select_features(output, run_id=run_id, columns=())
    exact, recall = chosen.count <= EXACT_UP_TO, None
    if not exact:
        _check_faiss(output, chosen.count)
    found = load_selection(chosen)
    grouping = _Grouping(len(found.vectors))
    if exact:
        grouping.take(near_pairs(found.vectors, min_cosine))
    else:
        candidates = Candidates(found.vectors, min_cosine)
        sample, recall = candidates.sampled()
        grouping.take([sample])
        grouping.take(candidates.pairs())
    groups = list(grouping.groups(found.table["uri"], found.vectors))
    return Duplicates(groups, len(found.vectors), exact, recall)


class _Grouping:
    """Pairs in, groups out; of pairs nothing is kept but which rows they connect, and how near the nearest are."""

    def __init__(self, count: int):
        self._components = Components(count)
        self._least, self._most = np.full(count, np.inf), np.full(count, -np.inf)

    def take(self, some: Iterable[Pairs]) -> None:
        for pairs in some:
            self._components.join(pairs.first, pairs.second)
            np.minimum.at(self._least, pairs.first, pairs.cosines)
            np.maximum.at(self._most, pairs.first, pairs.cosines)

    def groups(self, uris: pa.ChunkedArray, vectors: np.ndarray) -> Iterator[DuplicateGroup]:
        """The groups of rows of `uris` and of float32 [N, features], in the order of their first uris."""
        roots = self._components.roots(np.arange(len(vectors)))
        sizes = np.bincount(roots, minlength=len(vectors))
        members: dict[int, list[int]] = {}
        for row in pc.sort_indices(uris).to_numpy():
            if sizes[roots[row]] > 1:
                members.setdefault(int(roots[row]), []).append(int(row))
        for rows in members.values():
            cosines = cosines_of(vectors, np.full(len(rows), rows[0]), np.array(rows))
            least, most = float(self._least[rows].min()), float(self._most[rows].max())
            yield DuplicateGroup(tuple(uris.take(rows).to_pylist()), tuple(cosines.tolist()), least, most)


def _check_faiss(output: str, count: int) -> None:
    if importlib.util.find_spec("faiss") is None:
        raise RunError(
            f"{output}: it has {count:,} vectors; of more than {EXACT_UP_TO:,} not all pairs are compared, and what "
            f"chooses them is not installed: pip install 'embed-images[faiss]'"
        )


def as_json_lines(found: Duplicates) -> str:
    """One object a group: `uris`, `size`, `min_cosine`, `max_cosine`."""
    return "\n".join(
        json.dumps(
            {"uris": group.uris, "size": len(group.uris), "min_cosine": group.least, "max_cosine": group.most},
            ensure_ascii=False,
        )
        for group in found.groups
    )


def write_groups(found: Duplicates, uri: str) -> None:
    """As JSON Lines, or as a table of `SCHEMA`, see `write_table`; at a local path or in a store."""
    if uri.endswith(JSON_LINES):
        lines = as_json_lines(found)
        storage.write_bytes(storage.normalize(uri), (lines + "\n" if lines else "").encode())
        return
    rows = [
        (number, each, cosine)
        for number, group in enumerate(found.groups)
        for each, cosine in zip(group.uris, group.cosines, strict=True)
    ]
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    arrays = [pa.array(list(values), field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), uri)


def summary(found: Duplicates, min_cosine: float) -> str:
    """What was found, in a line, and what may not have been."""
    grouped = sum(len(group.uris) for group in found.groups)
    groups = counted(len(found.groups), "group")
    line = f"{found.images:,} images: {grouped:,} of them in {groups} of cosines from {min_cosine:g}"
    if found.exact:
        return f"{line}; all pairs were compared"
    line += f"; FAISS proposed the pairs, up to {NEIGHBOURS} an image, and may have missed some"
    if found.recall is None:
        return line
    return f"{line}: of those of {SAMPLE} sampled images it found {found.recall:.1%}"
