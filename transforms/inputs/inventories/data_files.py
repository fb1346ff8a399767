"""The data files of inventories: found, compared with what their manifest tells of them, and read row by row."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any

import pyarrow.parquet as pq

from transforms.elements import ImageObject
from transforms.inputs import tables, texts
from transforms.inputs.bounds import ManifestError
from transforms.inputs.inventories.elements import DataFile, plain
from transforms.inputs.manifests import sentences, unpacked
from transforms.stores import filesystems, storage
from transforms.stores.spooling import naming, open_spool
from transforms.stores.store_errors import describe_error
from transforms.stores.streaming import open_current

PIECE = 1 << 20

# Of the columns of a file, the one of each field; "" for none.
Choose = Callable[[Sequence[str]], list[str]]


def rows(data_file: DataFile, fields: Sequence[str], needed: int) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row or line, values of the fields) of all rows; None for a field that a file does not have.

    Args:
        fields: their names, see `plain`; of the first `needed` a file must have each.

    Raises:
        ListingError: it is not there, is not what its manifest tells, or cannot be read for sure.
    """

    def choose(columns: Sequence[str]) -> list[str]:
        there = Counter(map(plain, columns))
        for field in fields[:needed]:
            if plain(field) not in there:
                shown = ", ".join(name[:50] for name in columns[:20])
                raise ManifestError(f"it has no column {field!r} among {shown}")
        if doubled := [field for field in fields if there[plain(field)] > 1]:
            raise ManifestError(f"{there[plain(doubled[0])]} of its columns are named {doubled[0]!r}")
        by_name = {plain(column): column for column in columns}
        return [by_name.get(plain(field), "") for field in fields]

    with sentences(f"{data_file.manifest}: its data file {data_file.name}", "list"), _opened(data_file) as file:
        try:
            yield from READERS[data_file.format](file, data_file, choose)
        except OSError as e:  # of Arrow, where what is read is not of its format
            raise ManifestError(f"it cannot be read: {describe_error(e)}") from e


def _rows_of_csv(file: IO[bytes], data_file: DataFile, choose: Choose) -> Iterator[tuple[int, Sequence[Any]]]:
    header: Sequence[str] = data_file.header
    places = [header.index(column) if column else -1 for column in choose(header)] if header else []
    with unpacked(file) as text:
        for first, row in texts.fields_of_csv(text, data_file.delimiter):
            if not header:
                header = row
                places = [header.index(column) if column else -1 for column in choose(header)]
            elif row:
                texts.check_width(row, header, first)
                yield first, [row[place] if place >= 0 else None for place in places]


def _rows_of_parquet(file: IO[bytes], _: DataFile, choose: Choose) -> Iterator[tuple[int, Sequence[Any]]]:
    columns = choose(pq.read_schema(file).names)
    return _filled(tables.rows(file, [column for column in columns if column], False), columns)


def _rows_of_orc(file: IO[bytes], _: DataFile, choose: Choose) -> Iterator[tuple[int, Sequence[Any]]]:
    columns = choose(tables.columns_of_orc(file))
    return _filled(tables.rows_of_orc(file, [column for column in columns if column]), columns)


def _filled(found: Iterator[tuple[int, Sequence[Any]]], columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
    """The values of the columns that are there, with None where there is none."""
    there = [place for place, column in enumerate(columns) if column]
    for number, values in found:
        row: list[Any] = [None] * len(columns)
        for place, value in zip(there, values, strict=True):
            row[place] = value
        yield number, row


@contextmanager
def _opened(data_file: DataFile) -> Iterator[IO[bytes]]:
    """The bytes of a data file on a disk of this machine, once they are known to be those that the manifest tells."""
    row = _found(data_file)
    is_here = filesystems.is_local(row.uri)
    with open(storage.path_of(row.uri), "rb") if is_here else open_spool() as file:
        _compare(data_file, row, None if is_here else file)
        yield file


def _found(data_file: DataFile) -> ImageObject:
    for place in data_file.places:
        try:
            return storage.describe(place)
        except FileNotFoundError:
            continue
        except Exception as e:  # stores have error classes of their own
            raise ManifestError(f"{place} cannot be read: {describe_error(e)}") from e
    raise ManifestError(f"it is not there; it was looked for as {' and '.join(data_file.places)}")


def _compare(data_file: DataFile, row: ImageObject, copy: IO[bytes] | None) -> None:
    """Reads a file from its start to its end, into the copy where there is one, and refuses it when it is damaged."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    for piece in _pieces(row.uri):
        digest.update(piece)
        size += len(piece)
        if copy is not None:
            with naming():
                copy.write(piece)
    for told in (data_file.size, row.size):
        if told not in (-1, size):
            raise ManifestError(f"it is damaged: {row.uri} has {size:,} bytes, not {told:,}")
    if data_file.md5 and digest.hexdigest() != data_file.md5.lower():
        raise ManifestError(f"it is damaged: the MD5 of {row.uri} is {digest.hexdigest()}, not {data_file.md5}")


def _pieces(uri: str) -> Iterator[bytes]:
    try:
        with open_current(uri) as file:
            while piece := file.read(PIECE):
                yield piece
    except Exception as e:  # stores have error classes of their own
        raise ManifestError(f"{uri} cannot be read: {describe_error(e)}") from e


READERS: Mapping[str, Callable[[IO[bytes], DataFile, Choose], Iterator[tuple[int, Sequence[Any]]]]] = {
    "csv": _rows_of_csv,
    "orc": _rows_of_orc,
    "parquet": _rows_of_parquet,
}
