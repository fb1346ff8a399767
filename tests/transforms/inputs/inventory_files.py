"""Inventories as stores write them, by csv, gzip and pyarrow alone: no code of what reads them; and what is read."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

from transforms.elements import ImageObject
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import DEFAULT_RULES, ListingError, Rules

BUCKET = "photos-of-ours"
FORMATS = ["CSV", "ORC", "Parquet"]
DATE = "2026-11-27T01-00Z"
TIME = datetime(2026, 11, 25, 12, 30, 7, tzinfo=UTC)
# What a key can hold, and what separates in one of the formats.
ODD = [
    "a b", "a+b", "a%20b", "100%", "a,b", 'say "x"', "a'b", "ünï", "u\u0308", "日本", "😀", "a&b=c#d?e", "a;b", "a\\b",
    "//twice", "~", "*", "[1]", "a..b", " lead", "tab\tbed",
]  # fmt: skip
ODD_LINES = ["two\nlines", "return\r", "\r\n"]  # which only S3 takes


class Stored(NamedTuple):
    """An object, or a version of one, as S3 tells of it."""

    key: str
    size: int | None = 12345
    etag: str | None = "0123456789abcdef0123456789abcdef"
    updated: datetime = TIME
    is_latest: bool = True
    is_delete_marker: bool = False
    is_multipart: bool = False
    encryption: str = "SSE-S3"
    bucket: str = BUCKET
    version: str | None = "3sL4kqtJlcpXroDTDmJ"


S3_COLUMNS = {
    "Bucket": ("bucket", pa.string()), "Key": ("key", pa.string()), "VersionId": ("version_id", pa.string()),
    "IsLatest": ("is_latest", pa.bool_()), "IsDeleteMarker": ("is_delete_marker", pa.bool_()),
    "Size": ("size", pa.int64()), "LastModifiedDate": ("last_modified_date", pa.timestamp("ms", "UTC")),
    "ETag": ("e_tag", pa.string()), "StorageClass": ("storage_class", pa.string()),
    "IsMultipartUploaded": ("is_multipart_uploaded", pa.bool_()),
    "EncryptionStatus": ("encryption_status", pa.string()),
}  # fmt: skip


def s3_rows(objects: Sequence[Stored]) -> list[dict[str, Any]]:
    return [
        {
            "Bucket": each.bucket, "Key": each.key, "VersionId": each.version, "IsLatest": each.is_latest,
            "IsDeleteMarker": each.is_delete_marker, "Size": each.size, "LastModifiedDate": each.updated,
            "ETag": each.etag, "StorageClass": "STANDARD", "IsMultipartUploaded": each.is_multipart,
            "EncryptionStatus": each.encryption,
        }
        for each in objects
    ]  # fmt: skip


def as_text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def table(rows: list[dict[str, Any]], columns: Sequence[str]) -> pa.Table:
    fields = [S3_COLUMNS[column] for column in columns]
    return pa.table(
        [pa.array([row[column] for row in rows], kind) for column, (_, kind) in zip(columns, fields, strict=True)],
        names=[name for name, _ in fields],
    )


def s3_data(kind: str, objects: Sequence[Stored], columns: Sequence[str] = tuple(S3_COLUMNS)) -> bytes:
    rows = s3_rows(objects)
    if kind == "CSV":
        text = io.StringIO(newline="")
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        for row in rows:
            row["Key"] = quote_plus(row["Key"], safe="/")
            writer.writerow([as_text(row[column]) for column in columns])
        return gzip.compress(text.getvalue().encode())
    file = io.BytesIO()
    if kind == "ORC":
        orc.write_table(table(rows, columns), file, compression="zlib")
    else:
        pq.write_table(table(rows, columns), file, compression="snappy")
    return file.getvalue()


def s3_schema(kind: str, columns: Sequence[str] = tuple(S3_COLUMNS)) -> str:
    if kind == "CSV":
        return ", ".join(columns)
    names = [S3_COLUMNS[column][0] for column in columns]
    return f"struct<{','.join(names)}>" if kind == "ORC" else f"message s3.inventory {{ {'; '.join(names)}; }}"


def s3_manifest(kind: str, data: dict[str, bytes], **changes: Any) -> dict[str, Any]:
    """The manifest.json of data files by their keys."""
    files = [
        {"key": key, "size": len(each), "MD5checksum": hashlib.md5(each).hexdigest()}  # noqa: S324
        for key, each in data.items()
    ]
    given = {"sourceBucket": BUCKET, "destinationBucket": "arn:aws:s3:::inventories", "version": "2016-11-30"}
    schema = {"creationTimestamp": "1795741200000", "fileFormat": kind, "fileSchema": s3_schema(kind), "files": files}
    return {**given, **schema, **changes}


def write_s3(folder: Path, kind: str, parts: Sequence[Sequence[Stored]], **changes: Any) -> Path:
    """An inventory of a data file for each part, as S3 lays it; gives its manifest.json."""
    extension = {"CSV": "csv.gz", "ORC": "orc", "Parquet": "parquet"}[kind]
    data = {f"daily/{BUCKET}/all/data/{i}.{extension}": s3_data(kind, part) for i, part in enumerate(parts)}
    for key, each in data.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(each)
    path = folder / f"daily/{BUCKET}/all/{DATE}/manifest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(s3_manifest(kind, data, **changes), indent=2))
    return path


def write_beside(folder: Path, kind: str, data: dict[str, bytes], **changes: Any) -> Path:
    """An inventory of some data files, each in `data/` beside its manifest.json."""
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for key, each in data.items():
        (folder / key).write_bytes(each)
    (folder / "manifest.json").write_text(json.dumps(s3_manifest(kind, data, **changes)))
    return folder / "manifest.json"


DIGEST = hashlib.md5(b"an image").digest()  # noqa: S324
GENERATION = 1795613105236388


def gcs_row(name: str, **changes: Any) -> dict[str, Any]:
    """The fields of a row of a report, in the order of its configuration."""
    of_bucket = {"project": "12", "bucket": BUCKET, "name": name, "size": 7, "timeDeleted": None, "updated": TIME}
    md5 = base64.b64encode(DIGEST).decode()
    return {**of_bucket, "md5Hash": md5, "generation": GENERATION, "contentEncoding": None, **changes}


GCS_FIELDS = list(gcs_row(""))


def write_gcs(
    folder: Path, kind: str, parts: Sequence[Sequence[dict[str, Any]]], config: dict[str, Any], **changes: Any
) -> Path:
    """A report of a shard for each part; gives its manifest. CSV is written as `config`, its `report_config`, tells."""
    start = "6f1c_2026-11-27T00:00_"
    names = [f"{start}{i}.{kind}" for i in range(len(parts))]
    told = {key.replace("_", "").lower(): value for key, value in (config.get("csv_options") or {}).items()}
    told |= {key.lower(): value for key, value in (config.get("csvOptions") or {}).items()}
    for name, rows in zip(names, parts, strict=True):
        if kind == "parquet":
            pq.write_table(pa.Table.from_pylist(list(rows)), folder / name)
            continue
        with (folder / name).open("w", newline="") as file:
            separator = told.get("recordseparator", "\n")
            writer = csv.writer(file, delimiter=told.get("delimiter", ","), lineterminator=separator)
            writer.writerows([list(rows[0])] * bool(told.get("headerrequired")))
            writer.writerows([as_text(value) for value in row.values()] for row in rows)
    path = folder / f"{start}manifest.json"
    manifest = {
        "report_config": config, "records_processed": sum(map(len, parts)), "shard_count": len(parts),
        "snapshot_time": "2026-11-27T00:00:00Z", "report_shards_file_names": names,
    }  # fmt: skip
    path.write_text(json.dumps({**manifest, **changes}))
    return path


def listed(path: Path, rules: Rules = DEFAULT_RULES) -> tuple[list[ImageObject], Counter[str]]:
    skipped: Counter[str] = Counter()
    return list(list_input(str(path), rules, lambda name, kind: skipped.update([kind]))), skipped


def refusal(path: Path) -> str:
    with pytest.raises(ListingError) as refused:
        listed(path)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path}: ")
