"""What manifests tell of images besides their names, in each of their formats."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.elements import ImageObject
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import ListingError, Rules

COLUMNS = {"version_column": "etag", "size_column": "bytes", "updated_column": "when", "md5_column": "sum"}
DIGEST = hashlib.md5(b"x").digest()  # noqa: S324
TIME = datetime(2026, 11, 25, 12, 30, 0, 500000, UTC)
ROWS: list[dict[str, Any]] = [
    {"uri": "s3://b/all.jpg", "etag": '"0123abcd-2"', "bytes": 12345, "when": TIME, "sum": DIGEST.hex().upper()},
    {"uri": "gs://b/number.jpg", "etag": 1795613105236388, "bytes": 7, "when": TIME, "sum": DIGEST},
    {"uri": "s3://b/nothing.jpg", "etag": None, "bytes": None, "when": None, "sum": None},
    {"uri": "s3://b/no version.jpg", "etag": None, "bytes": 99, "when": TIME, "sum": None},
]
IMAGES = [
    ImageObject("s3://b/all.jpg", 12345, "0123abcd-2", TIME.timestamp(), md5=DIGEST.hex()),
    ImageObject("gs://b/number.jpg", 7, "1795613105236388", TIME.timestamp(), md5=DIGEST.hex()),
    ImageObject("s3://b/nothing.jpg"),
    ImageObject("s3://b/no version.jpg", updated=TIME.timestamp()),  # whose size may be that of another version
]


def as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return "" if value is None else str(value)


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    names = list(rows[0])
    if path.suffix == ".parquet":
        texts = [{name: as_text(row[name]) or None for name in ("uri", "etag", "sum") if name in row} for row in rows]
        others = [{name: row[name] for name in ("bytes", "when") if name in row} for row in rows]
        pq.write_table(pa.Table.from_pylist([a | b for a, b in zip(texts, others, strict=True)]), path)
    elif path.suffix == ".jsonl":
        plain = [{k: v if isinstance(v, int | None) else as_text(v) for k, v in row.items()} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in plain))
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, "excel-tab" if path.suffix == ".tsv" else "excel")
            writer.writerows([names, *([as_text(row[name]) for name in names] for row in rows)])
    return path


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "parquet"])
def test_columns_tell_version_size_time_and_checksum(extension: str, tmp_path: Path) -> None:
    manifest = write(tmp_path / f"m.{extension}", ROWS)
    assert list(list_input(str(manifest), Rules(**COLUMNS))) == IMAGES
    assert [image.uri for image in list_input(str(manifest))] == [image.uri for image in IMAGES]
    assert list(list_input(str(manifest))) == [ImageObject(image.uri) for image in IMAGES]


def test_keys_that_a_row_lacks_tell_nothing(tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text('{"uri": "s3://b/a.jpg"}\n{"etag": "v", "uri": "s3://b/b.jpg"}\n')
    found = list(list_input(str(tmp_path / "m.jsonl"), Rules(**COLUMNS)))
    assert found == [ImageObject("s3://b/a.jpg"), ImageObject("s3://b/b.jpg", version="v")]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC).timestamp()),
        ("2026-11-25 12:30:00.500000", TIME.timestamp()),
        ("2026-11-25T14:30:00.5+02:00", TIME.timestamp()),
        ("1795613105.25", 1795613105.25),
        (1795613105, 1795613105.0),
    ],
)
def test_times_are_those_of_utc_or_their_zone(value: Any, seconds: float, tmp_path: Path) -> None:
    (tmp_path / "m.jsonl").write_text(json.dumps({"uri": "s3://b/a.jpg", "when": value}))
    (image,) = list_input(str(tmp_path / "m.jsonl"), Rules(updated_column="when"))
    assert image.updated == seconds


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("bytes", "12 MB", "its column 'bytes' holds '12 MB', which is no size in bytes"),
        ("bytes", -1, "its column 'bytes' holds '-1', which is no size in bytes"),
        ("bytes", 1.5, "its column 'bytes' holds '1.5', which is no size in bytes"),
        ("bytes", True, "its column 'bytes' holds 'True', which is no size in bytes"),
        ("when", "yesterday", "its column 'when' holds 'yesterday', which is no time"),
        ("when", 1e300, "its column 'when' holds '1e+300', which is no time"),
        ("when", [1], "its column 'when' holds '[1]', which is no time"),
        ("sum", "0123", "its column 'sum' holds '0123', which is no MD5"),
        ("etag", 1.5, "its column 'etag' holds '1.5', which is no version"),
        ("etag", "abc", "its column 'etag' holds 'abc', which is no generation of gs://"),
        ("etag", "v" * 2000, "its column 'etag' holds '" + "v" * 100 + "', which is no version"),
    ],
)
def test_a_value_that_is_none_of_its_column_is_refused_by_its_line(
    column: str, value: Any, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"uri": "s3://b/a.jpg"}\n' + json.dumps({"uri": "gs://b/b.jpg", column: value}))
    with pytest.raises(ListingError) as refused:
        list(list_input(str(path), Rules(**COLUMNS)))
    assert str(refused.value) == f"{path}: line 2: {said}"


@pytest.mark.parametrize("extension", ["csv", "parquet", "txt"])
def test_a_column_that_a_manifest_lacks_is_named(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"m.{extension}"
    if extension == "txt":
        path.write_text("s3://b/a.jpg\n")
    else:
        write(path, [{"uri": "s3://b/a.jpg"}])
    with pytest.raises(ListingError, match="no column 'etag'"):
        list(list_input(str(path), Rules(version_column="etag")))


def test_a_list_is_no_time(tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["s3://b/a.jpg"], "when": [[1, 2]]}), tmp_path / "m.parquet")
    with pytest.raises(ListingError, match=r"row 1: its column 'when' holds '\[1, 2\]', which is no time"):
        list(list_input(str(tmp_path / "m.parquet"), Rules(updated_column="when")))
