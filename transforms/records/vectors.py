"""Vectors copied out of serialized records, many at a time, as they lie in a file.

A record of a run begins with its vector, so that it is known where that lies, and NumPy copies those of a block at
once. What stands behind them is left to a decoder of tf.Examples, and so are records that begin otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from transforms.records.examples import FLOAT_BYTES, before_floats
from transforms.records.tfrecord import Block


class Split(NamedTuple):
    """Records in two parts.

    Attributes:
        vectors: uint8 [rows, bytes of a vector], float32 in little-endian order, of the first records; room for more
            may follow.
        others: the features behind the vector, of each of these, as `examples.example` takes them.
        whole: the records from the first one on that begins otherwise.
    """

    vectors: np.ndarray
    others: list[bytes]
    whole: list[bytes]

    @property
    def rows(self) -> int:
        return len(self.others) + len(self.whole)


def split_blocks(blocks: Iterable[Block], feature: str, feature_dim: int, at_once: int) -> Iterator[Split]:
    """The records of blocks, so many at a time, fewer at the end.

    Args:
        feature: whose values, `feature_dim` of them, are the vector.
    """
    split = _empty(feature_dim, at_once)
    for block in blocks:
        spans = block.spans
        while spans:
            room = at_once - split.rows
            _add(split, Block(block.data, spans[:room]), feature, feature_dim)
            spans = spans[room:]
            if split.rows == at_once:
                yield split
                split = _empty(feature_dim, at_once)
    if split.rows:
        yield split


def _empty(feature_dim: int, at_once: int) -> Split:
    return Split(np.empty((at_once, FLOAT_BYTES * feature_dim), np.uint8), [], [])


def _add(split: Split, block: Block, feature: str, feature_dim: int) -> None:
    size, places, (data, spans) = FLOAT_BYTES * feature_dim, list[int](), block
    for number, (start, stop) in enumerate(spans):
        begin = before_floats(feature, feature_dim, stop - start)
        place = start + len(begin)
        if split.whole or not begin or data[start:place] != begin:
            split.whole.extend(data[start:stop] for start, stop in spans[number:])
            break
        places.append(place)
        split.others.append(data[place + size : stop])
    if places:
        there = sliding_window_view(np.frombuffer(data, np.uint8), size)
        split.vectors[len(split.others) - len(places) : len(split.others)] = there[places]
