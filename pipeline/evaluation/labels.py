"""The labels of images, and the groups that they are of, as a column tells them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import RunError

Label = int | str
# Of a label that fewer images have, none can be held against another one.
LEAST_IMAGES = 2


@dataclass(frozen=True)
class Labels:
    """Those images of N whose labels can be held against others, M of them.

    Attributes:
        names: the labels, ascending.
        rows: int [M], which of the N images, ascending.
        codes: int [M], where the label of each is in `names`.
        groups: int [M], from 0; None where there are none.
        without_value: how many of the N images have no label.
        images_left_out, labels_left_out: how many have a label of fewer than `LEAST_IMAGES` images (where there are
            groups: in fewer than so many groups), and how many labels these are.
    """

    names: tuple[Label, ...]
    rows: np.ndarray
    codes: np.ndarray
    groups: np.ndarray | None
    without_value: int
    images_left_out: int
    labels_left_out: int


def check_column(schema: pa.Schema, column: str, output: str) -> None:
    """Raises RunError when a column is not of one whole number or one text of an image."""
    kind = schema.field(column).type
    if not (pa.types.is_int64(kind) or pa.types.is_string(kind)):
        raise RunError(
            f"{output}: the column {column!r} is of {kind}; labels and groups are one int64 or one text of an image:"
            " choose a column of such, or carry it as one (`--columns name:int64`, `--columns name:text`)"
        )


def read_labels(column: pa.ChunkedArray, group_column: pa.ChunkedArray | None) -> Labels:
    """Labels of columns [N] of int64 or text. An image of no group is a group by itself."""
    names, all_codes = _encoded(column)
    (rows,) = np.nonzero(all_codes >= 0)
    codes = all_codes[rows]
    groups = np.arange(len(rows)) if group_column is None else _groups(group_column)[rows]
    pairs = np.unique(np.stack([codes, groups]), axis=1)
    times = np.bincount(pairs[0], minlength=len(names))
    usable = times >= LEAST_IMAGES
    kept = usable[codes]
    number = np.cumsum(usable) - 1
    return Labels(
        tuple(name for name, used in zip(names, usable.tolist(), strict=True) if used),
        rows[kept],
        number[codes[kept]],
        None if group_column is None else np.unique(groups[kept], return_inverse=True)[1],
        without_value=len(all_codes) - len(codes),
        images_left_out=int((~kept).sum()),
        labels_left_out=int((~usable).sum()),
    )


def _groups(column: pa.ChunkedArray) -> np.ndarray:
    names, codes = _encoded(column)
    alone = codes < 0
    codes[alone] = len(names) + np.arange(alone.sum())
    return codes


def _encoded(column: pa.ChunkedArray) -> tuple[list[Label], np.ndarray]:
    """The values of a column, ascending, and for each row which one it has, int [N]; -1 where it is null."""
    array = column.combine_chunks()
    names = array.drop_null().unique().sort()
    codes = pc.fill_null(pc.index_in(array, names), -1)
    return names.to_pylist(), codes.to_numpy(zero_copy_only=False).astype(np.int64)
