"""Vectors out of Parquet where they lie as they are: pages of plain float32, as `parquet.py` writes them.

Arrow looks at two levels for each value to know where lists begin, which takes longer than reading from a disk. Of
lists of one length without nulls, all values of a row group are those of all lists. What is laid out otherwise is left
to it. The headers of pages are structs of Thrift's compact protocol (PageHeader in parquet-format's parquet.thrift).
"""

from __future__ import annotations

from typing import Any

import numpy as np

DATA_PAGE, PLAIN = 0, 0
TYPE, SIZE_UNPACKED, SIZE, HEADER = 1, 2, 3, 5  # fields of a PageHeader
COUNT, ENCODING = 1, 2  # of a DataPageHeader
INTEGERS, STRUCT, STOP = (4, 5, 6), 12, 0  # types of Thrift that these have
VALUE_BYTES = 4
LEVEL_BYTES = 4  # the length of levels, before them


def plain_vectors(chunk: memoryview, rows: int, feature_dim: int) -> np.ndarray | None:
    """The vectors of a column chunk, float32 [rows, features]; None where it is no such one.

    Args:
        chunk: its bytes, one page after the other.
    """
    wanted = rows * feature_dim * VALUE_BYTES
    if not 0 < wanted <= len(chunk):
        return None
    values = np.empty(wanted, np.uint8)
    at = filled = 0
    try:
        while filled < wanted:
            header, at = _struct(chunk, at)
            page = chunk[at : at + header[SIZE]]
            size = _values_in(page, header)
            if not 0 < size <= wanted - filled:
                return None
            values[filled : filled + size] = np.frombuffer(page[-size:], np.uint8)
            at, filled = at + header[SIZE], filled + size
    except (IndexError, KeyError, TypeError, ValueError):
        return None
    return values.view("<f4").reshape(rows, feature_dim) if at == len(chunk) else None


def _values_in(page: memoryview, header: dict[int, Any]) -> int:
    """The bytes of values that a page ends with, after its levels; 0 where it is another kind of page."""
    inner = header[HEADER]
    size: int = inner[COUNT] * VALUE_BYTES
    if (header[TYPE], inner[ENCODING], header[SIZE_UNPACKED]) != (DATA_PAGE, PLAIN, len(page)):
        return 0
    begin = 0
    for _ in ("repetition", "definition"):
        begin += LEVEL_BYTES + int.from_bytes(page[begin : begin + LEVEL_BYTES], "little")
    return size if begin + size == len(page) else 0  # with nulls, there are fewer values than the page counts


def _struct(data: memoryview, at: int) -> tuple[dict[int, Any], int]:
    """(values by field, where it ends)."""
    found: dict[int, Any] = {}
    field = 0
    while (head := data[at]) != STOP:
        at += 1
        if not head >> 4:
            raise ValueError("a field that is not after the one before")
        field += head >> 4
        if head & 15 == STRUCT:
            found[field], at = _struct(data, at)
        elif head & 15 in INTEGERS:
            found[field], at = _integer(data, at)
        else:
            raise ValueError("a field that page headers of plain vectors do not have")
    return found, at + 1


def _integer(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return (value >> 1) ^ -(value & 1), at
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")
