"""Manifests that are texts: lines, CSV, TSV and JSON Lines, read so that no row is swallowed by another."""

from __future__ import annotations

import codecs
import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO, Any

from transforms.inputs.bounds import LONGEST_LINE, ManifestError
from transforms.records.columns import RESERVED

WIDE_MARKS = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
SEPARATORS = ";|\t,"
FIRST_OBJECTS = 1000  # whose keys are the columns of JSON Lines


def lines(file: IO[bytes], columns: Sequence[str], all_columns: bool) -> Iterator[tuple[int, Sequence[Any]]]:
    """(line, [text]) of the lines that are not empty; there is one column, whatever it is called."""
    if len(columns) > 1:
        raise ManifestError(f"a list of lines has no column {columns[1]!r}")
    taken = _Lines(file)
    for number, line in enumerate(taken, start=1):
        taken.of_row = 0
        text = line.rstrip("\r\n")
        if "\r" in text:
            raise ManifestError(f"line {number} has a carriage return within it; end lines with a line feed")
        if text.strip():
            yield number, [text]


def rows_of_csv(
    file: IO[bytes], columns: Sequence[str], all_columns: bool, delimiter: str = ","
) -> Iterator[tuple[int, Sequence[Any]]]:
    """(first line of the row, values of the columns) of CSV whose first row names its columns."""
    header: Sequence[str] | None = None
    places: list[int | None] = []
    for first, row in fields_of_csv(file, delimiter):
        if header is None:
            header = row
            places = _places(columns, header, all_columns, delimiter)
        elif row:
            check_width(row, header, first)
            yield first, [None if place is None else row[place] for place in places]
    if header is None:
        check_columns(columns, [])


def fields_of_csv(file: IO[bytes], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(first line of the row, its fields) of RFC 4180's CSV; an empty line has no fields at all."""
    csv.field_size_limit(LONGEST_LINE)
    taken = _Lines(file)
    rows = csv.reader(taken, delimiter=delimiter, strict=True)
    while True:
        first = taken.number + 1
        taken.of_row = 0
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as e:
            raise ManifestError(f"the row of line {first}: {_reason(e)}") from None
        yield first, row


def check_width(row: Sequence[str], header: Sequence[str], first: int) -> None:
    """Raises ManifestError unless a row has all fields and no more; `first` is its line."""
    if len(row) != len(header):
        raise ManifestError(f"the row of line {first} has {len(row)} fields, the header has {len(header)}")


def rows_of_tsv(file: IO[bytes], columns: Sequence[str], all_columns: bool) -> Iterator[tuple[int, Sequence[Any]]]:
    return rows_of_csv(file, columns, all_columns, "\t")


def names_of_csv(file: IO[bytes], delimiter: str = ",") -> list[str]:
    """The columns of the header."""
    csv.field_size_limit(LONGEST_LINE)
    try:
        return next(csv.reader(_Lines(file), delimiter=delimiter, strict=True), [])
    except csv.Error as e:
        raise ManifestError(f"the row of line 1: {_reason(e)}") from None


def names_of_tsv(file: IO[bytes]) -> list[str]:
    return names_of_csv(file, "\t")


def rows_of_json(file: IO[bytes], columns: Sequence[str], all_columns: bool) -> Iterator[tuple[int, Sequence[Any]]]:
    """(line, values of the keys) of JSON Lines: one object a line, of which only the first key must be there."""
    for number, row in _objects(file, columns):
        check_columns(columns[:1], list(row))
        if all_columns and (more := row.keys() - set(columns) - RESERVED):
            raise ManifestError(
                f"line {number} has the key {min(more)[:50]!r}, which no row at the beginning has; name it in --columns"
            )
        yield number, [row.get(column) for column in columns]


def names_of_json(file: IO[bytes]) -> list[str]:
    """The keys of the objects at the beginning, in their order."""
    return list(dict.fromkeys(key for _, row in islice(_objects(file, ()), FIRST_OBJECTS) for key in row))


def _objects(file: IO[bytes], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, object) of JSON Lines, in which none of these keys is there twice."""

    def as_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            counts = Counter(key for key, _ in pairs)
            for column in columns:
                if counts[column] > 1:
                    raise ManifestError(f"line {number} has the key {column!r} twice")
        return found

    decode = json.JSONDecoder(object_pairs_hook=as_dict).decode
    taken = _Lines(file)
    for number, line in enumerate(taken, start=1):
        taken.of_row = 0
        if not line.strip():
            continue
        if line.lstrip().startswith("["):
            raise ManifestError(f"line {number} holds an array; write one object a line, as jq -c '.[]' does")
        try:
            row = decode(line)
        except RecursionError:
            raise ManifestError(f"line {number} is nested too deep") from None
        except ValueError as e:
            raise ManifestError(f"line {number} is no JSON object: {e}") from None
        if not isinstance(row, dict):
            raise ManifestError(f"line {number} holds {type(row).__name__}, not an object")
        yield number, row


def check_columns(wanted: Sequence[str], columns: Sequence[str]) -> None:
    """Raises ManifestError unless there is exactly one column of each wanted name."""
    for column in wanted:
        if column not in columns:
            shown = ", ".join(name[:50] for name in columns[:20])
            hint = "; --uri_column names it" if column == wanted[0] else ""
            raise ManifestError(f"no column {column!r} among {shown}{hint}")
        if columns.count(column) > 1:
            raise ManifestError(f"{columns.count(column)} columns are named {column!r}; name each as it is")


def _places(columns: Sequence[str], header: Sequence[str], all_columns: bool, delimiter: str) -> list[int | None]:
    """Where a column stands in a row; None for one that is not there."""
    column = columns[0]
    if len(header) == 1 and (others := [each for each in SEPARATORS if each != delimiter and each in header[0]]):
        raise ManifestError(f"no column {column!r}: its fields are separated by {others[0]!r}, not {delimiter!r}")
    present = [column for column in columns if column in header or column == columns[0] or not all_columns]
    check_columns(present, header)
    return [header.index(column) if column in present else None for column in columns]


def _reason(error: csv.Error) -> str:
    text = str(error)
    if text == "unexpected end of data":
        return "a quote is opened and never closed"
    if text.startswith("new-line character"):
        return "it has a carriage return within it; end lines with a line feed"
    return f"{text}; a quote within a quoted field is doubled"


class _Lines:
    """The lines of a file as text, each with its end.

    Attributes:
        number: of the last line that was taken, from 1.
        of_row: bytes of the row so far; who reads rows sets it to 0 between them.
    """

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.number = 0
        self.of_row = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._file.readline(LONGEST_LINE + 1):
            self.number += 1
            if self.number == 1:
                line = _without_mark(line)
            self.of_row += len(line)
            if self.of_row > LONGEST_LINE:
                raise ManifestError(
                    f"the row that line {self.number} belongs to is longer than {LONGEST_LINE >> 20} MiB; "
                    f"a quote may have been left open"
                )
            try:
                text = line.decode()
            except UnicodeDecodeError as e:
                raise ManifestError(
                    f"line {self.number} is no UTF-8, at its byte {line[e.start]:#04x}; "
                    f"write the file as UTF-8 (iconv -f CP1252 -t UTF-8)"
                ) from None
            yield text


def _without_mark(line: bytes) -> bytes:
    """The first line without the mark that editors put before UTF-8."""
    if line.startswith(WIDE_MARKS) or b"\0" in line[:64]:
        raise ManifestError(
            "line 1 is no UTF-8 but UTF-16, or binary; write the file as UTF-8 (iconv -f UTF-16 -t UTF-8)"
        )
    return line.removeprefix(codecs.BOM_UTF8)
