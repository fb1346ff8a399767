"""Parquet files with a column of images: bytes, or structs of bytes and a path, as Hugging Face writes them.

Rows are read one at a time, which costs 0.06 ms each, so that no two images are in memory for the sizes of others; but
a page is unpacked as a whole, and so is the dictionary of a row group. pyarrow's writer puts 1,024 values into either:
of images of 100 KB it makes 100 MB, and three such parts are in memory at once, however large the row group. Row
groups of a hundred images, as Hugging Face's are, need a few MB.

Pages may have checksums, which are compared. Their headers have none: Arrow passes over a page that says to be of a
kind which it does not know, and the rows of that group behind it get the numbers of others, until its end tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.elements import Refusal
from transforms.inputs.bounds import FREE_BYTES, MOST_OF_PARQUET
from transforms.inputs.containers.member import (
    Asked,
    CostlyContainerError,
    DamagedContainerError,
    Member,
    NoImagesError,
    refused,
    refused_for_size,
    wants,
)

MAGIC, ENCRYPTED_MAGIC = b"PAR1", b"PARE"
BUFFER_BYTES = 1 << 20  # that are read of a column at once; without one, its whole row group is
BYTES, PATH = "bytes", "path"
# Of several columns that could hold the images, the first of these names.
NAMES = ("image", "image/encoded", "jpg", "png", "bytes", "img")


def members(file: IO[bytes], asked: Asked) -> Iterator[Member]:
    """One for each row, with its other columns.

    Raises:
        NoImagesError: it has no column of images, or not one alone.
        CostlyContainerError: few bytes of it unpack to very many.
        DamagedContainerError: where it breaks; with a damaged footer that is the beginning.
    """
    size = file.seek(0, os.SEEK_END)
    number = unpacked = 0
    where = "its footer"
    try:
        parquet = pq.ParquetFile(file, buffer_size=BUFFER_BYTES, pre_buffer=False, page_checksum_verification=True)
        metadata, schema = parquet.metadata, parquet.schema_arrow
        column = _image_column(schema, asked.image_column)
        others = [name for name in schema.names if name != column and wants(asked.columns, name)]
        _check_groups(metadata, size)
        where, end = "row 0", 0
        for group in range(metadata.num_row_groups):
            end += metadata.row_group(group).num_rows
            for batch in parquet.iter_batches(1, [group], [column, *others], use_threads=False):
                member = _member(batch, number, column, others, asked)
                unpacked += member.size
                if unpacked > max(FREE_BYTES, MOST_OF_PARQUET * size):
                    raise CostlyContainerError(f"its {size:,} bytes unpack to more than {unpacked:,} at row {number:,}")
                yield member
                number += 1
                where = f"row {number:,}"
            if number != end:
                raise DamagedContainerError(
                    f"its row group {group} ends at row {number:,}, not at {end:,}: pages of it are damaged or missing"
                )
    except (pa.ArrowException, UnicodeDecodeError, OSError) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise  # of the file that it is read from; Arrow's own have no number
        raise DamagedContainerError(f"{where} cannot be read: {' '.join(str(e).split())}") from None


def _member(batch: pa.RecordBatch, number: int, column: str, others: list[str], asked: Asked) -> Member:
    image = _value(batch, column)
    path = image.get(PATH) if isinstance(image, Mapping) else None
    content: bytes | Refusal | None = image.get(BYTES) if isinstance(image, Mapping) else image
    size = len(content or b"")
    columns: dict[str, Any] = {}
    if content is None:
        says = f"names a file, {path[:200]!r}, and holds no bytes" if path else "holds none"
        content = refused("NoImage", f"its column {column!r} {says}")
    elif size > asked.max_bytes:
        content = refused_for_size(size, asked.max_bytes)
    else:
        try:
            columns = {name: _value(batch, name) for name in others}
        except ValueError as e:  # a text that is no UTF-8, a time that Python cannot tell
            content = refused("ColumnMismatch", f"a column beside it cannot be read: {e}")
    return Member(str(number), size, None, "", content, columns)


def _value(batch: pa.RecordBatch, name: str) -> Any:
    """Of the only row; of two columns of a name, the first one's."""
    values = batch.column(batch.schema.names.index(name))
    if pa.types.is_timestamp(values.type) and values.type.unit == "ns":  # Python's times have microseconds
        values = pc.cast(values, pa.timestamp("us", values.type.tz), safe=False)
    return values[0].as_py()


def _image_column(schema: pa.Schema, asked: str) -> str:
    holding = {field.name: field.type for field in schema if _holds_images(field.type)}
    if asked in holding:
        return asked
    shown = ", ".join(f"{field.name} ({field.type})" for field in schema)[:500]
    if asked:
        raise NoImagesError(f"it has no column {asked!r} of bytes, or of structs of bytes and a path, among {shown}")
    structs = [name for name, kind in holding.items() if pa.types.is_struct(kind)]
    candidates = structs or list(holding)
    named = [name for name in NAMES if name in candidates]
    if len(candidates) == 1 or named:
        return named[0] if named else candidates[0]
    raise NoImagesError(
        f"{len(candidates) or 'none'} of its columns could hold the images; --image_column names one of {shown}"
    )


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        names = {field.name for field in kind}
        return {BYTES, PATH} <= names and _is_bytes(kind.field(BYTES).type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_binary(plain) or pa.types.is_large_binary(plain) or pa.types.is_binary_view(plain))


def _check_groups(metadata: pq.FileMetaData, size: int) -> None:
    """What the footer tells of sizes, before a page is unpacked.

    Of row groups as a whole: where a footer is damaged, asking for the columns of one can end the process (Arrow 25).
    """
    unpacked = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    if unpacked > max(FREE_BYTES, MOST_OF_PARQUET * size):
        raise CostlyContainerError(f"its {size:,} bytes unpack to {unpacked:,}, as its footer tells")
