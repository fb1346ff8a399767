"""Inventories that are not whole, or not as they are known: refused by name, nothing of them lost without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.runs.launching import check_inputs
from tests.transforms.inputs.inventory_files import (
    BUCKET,
    FORMATS,
    Stored,
    gcs_row,
    refusal,
    s3_data,
    write_beside,
    write_gcs,
    write_s3,
)  # fmt: skip
from transforms.inputs import bounds, tables
from transforms.inputs.inputs import Part, list_part, split_input
from transforms.inputs.rules import DEFAULT_RULES, ListingError


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "it is not there; it was looked for as "),
    "cut": (cut, "it is damaged: "),
    "flipped": (flip, "it is damaged: the MD5 of "),
    "empty": (lambda path: path.write_bytes(b""), "it is damaged: "),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_data_file_that_is_not_what_was_written_ends_the_listing(kind: str, damage: str, tmp_path: Path) -> None:
    path = write_s3(tmp_path, kind, [[Stored(f"{part}{i}.jpg") for i in range(50)] for part in "ab"])
    harm, said = DAMAGES[damage]
    (harmed,) = (path.parents[1] / "data").glob("1.*")
    harm(harmed)
    assert f"its data file daily/{BUCKET}/all/data/{harmed.name}: {said}" in refusal(path)
    parts = [part for part in split_input(str(path)) if isinstance(part, Part)]
    assert len(list(list_part(parts[0]))) == 50


@pytest.mark.parametrize("kind", FORMATS)
def test_a_damage_that_the_manifest_does_not_tell_shows_in_the_file(kind: str, tmp_path: Path) -> None:
    data = s3_data(kind, [Stored(f"{i}.jpg") for i in range(500)])
    path = write_beside(tmp_path, kind, {"data/1": data[:-30]}, files=[{"key": "data/1"}])
    assert refusal(path).startswith(
        ("its data file data/1: not a list that can be read: ", "its data file data/1: it cannot be read: ")
    )


def test_a_size_that_is_told_alone_is_compared(tmp_path: Path) -> None:
    data = s3_data("CSV", [Stored("a.jpg")])
    path = write_beside(tmp_path, "CSV", {"data/1": data}, files=[{"key": "data/1", "size": len(data) + 1}])
    assert refusal(path).endswith(f"it is damaged: {tmp_path}/data/1 has {len(data):,} bytes, not {len(data) + 1:,}")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"version": "2030-01-01"}, "version: Input should be '2016-11-30'"),
    ({"fileFormat": "Avro"}, "fileFormat: Input should be 'CSV', 'ORC' or 'Parquet'"),
    ({"destinationBucket": None}, "destinationBucket: Input should be a valid string"),
    ({"files": [{"key": "k", "size": "12"}]}, "files.0.size: Input should be a valid integer"),
    ({"files": [{"key": "k", "MD5checksum": "12"}]}, "files.0.MD5checksum: String should match pattern"),
    ({"fileSchema": "Bucket, Key"}, "its data file data/1: the row of line 1 has 11 fields, the header has 2"),
    ({"fileSchema": "Bucket, VersionId"}, "its data file data/1: it has no column 'Key' among Bucket, VersionId"),
    ({"fileSchema": "Bucket, Key, key"}, "its data file data/1: 2 of its columns are named 'Key'"),
    ({"sourceBucket": "another"}, f"data/1: line 1: it is of the bucket {BUCKET!r}, and the inventory of 'another'"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "said"), REFUSED)
def test_a_manifest_that_is_not_known_is_refused(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    assert said in refusal(write_beside(tmp_path, "CSV", {"data/1": s3_data("CSV", [Stored("a.jpg")])}, **changes))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Stored("a.jpg", size=-2), "its column 'Size' holds '-2', which is no size in bytes"),
        (Stored("a.jpg", etag="x" * 2000), "which is no version"),
        (Stored("", size=3), "it has no key"),
        (Stored("a.jpg", bucket="b"), f"it is of the bucket 'b', and the inventory of {BUCKET!r}"),
        (Stored("a" * 70_000), "it has a name of 70,000 characters"),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_relied_on_is_refused_by_its_place(
    kind: str, row: Stored, said: str, tmp_path: Path
) -> None:
    path = write_s3(tmp_path, kind, [[Stored("good.jpg"), row]])
    unit = "line" if kind == "CSV" else "row"
    assert refusal(path).startswith(f"its data file daily/{BUCKET}/all/data/0.")
    assert f": {unit} 2: " in refusal(path)
    assert refusal(path).endswith(said)


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"IsLatest": "maybe"}, "line 1: its column 'IsLatest' holds 'maybe', which is neither true nor false"),
        ({"IsDeleteMarker": "0"}, "line 1: its column 'IsDeleteMarker' holds '0', which is neither true nor false"),
        ({"IsLatest": ""}, "line 1: it has a VersionId, and does not tell whether that is the latest"),
        ({"Key": "a%2.jpg"}, "line 1: its key 'a%2.jpg' is not URL-encoded"),
        ({"Key": "a%ff.jpg"}, "line 1: 'utf-8' codec can't decode byte 0xff"),
        ({"LastModifiedDate": "today"}, "line 1: its column 'LastModifiedDate' holds 'today', which is no time"),
        ({"Size": '"'}, "its data file data/1: the row of line 1: "),
    ],
)
def test_a_text_that_means_nothing_is_refused_by_its_line(texts: dict[str, str], said: str, tmp_path: Path) -> None:
    columns = {"Bucket": BUCKET, "Key": "a.jpg", "VersionId": "v", "IsLatest": "true", **texts}
    data = ",".join(f'"{value}"' for value in columns.values()).encode() + b"\n"
    assert said in refusal(write_beside(tmp_path, "CSV", {"data/1": data}, fileSchema=", ".join(columns)))


CSV = {"object_metadata_report_options": {"metadata_fields": list(gcs_row(""))}}
GCS_REFUSED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("csv", {}, {}, "it does not tell the fields of its CSV, metadata_fields; let the reports have headers"),
    ("csv", {**CSV, "csv_options": {"delimiter": "ab"}}, {}, "its shards are delimited by 'ab', which is not read"),
    (
        "csv",
        {**CSV, "csv_options": {"record_separator": "|"}},
        {},
        "its shards are separated by '|', which",
    ),
    ("csv", CSV, {"shard_count": 3}, "it names 1 shards, and tells of 3"),
    ("csv", CSV, {"report_shards_file_names": ["x.avro"]}, "its shard x.avro is none of csv, parquet"),
    (
        "csv",
        CSV,
        {"report_shards_file_names": ["x.csv"]},
        "its data file x.csv: it is not there; it was",
    ),
    ("csv", CSV, {"report_shards_file_names": "x.csv"}, "report_shards_file_names: Input should be a valid list"),
    ("csv", {"csvOptions": {"headerRequired": False}}, {}, "it does not tell the fields of its CSV"),
]


@pytest.mark.parametrize(("kind", "config", "changes", "said"), GCS_REFUSED)
def test_a_report_that_is_not_known_is_refused(
    kind: str, config: dict[str, Any], changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    written = {**config, "csv_options": {}} if changes or "csv_options" in config else config
    path = write_gcs(tmp_path, kind, [[gcs_row("a.jpg")]], written, report_config=config, **changes)
    assert said in refusal(path)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_report_that_does_not_tell_what_is_current_is_refused(kind: str, tmp_path: Path) -> None:
    row = gcs_row("a.jpg")
    del row["timeDeleted"]
    path = write_gcs(tmp_path, kind, [[row]], {"csv_options": {"header_required": True}})
    assert "it has no column 'timeDeleted' among project, bucket, name, " in refusal(path)
    path = write_gcs(tmp_path, kind, [[gcs_row("a.jpg", generation="abc")]], {"csv_options": {"header_required": True}})
    assert refusal(path).endswith("its column 'generation' holds 'abc', which is no generation of gs://")


def test_a_shard_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = write_gcs(tmp_path, "csv", [[gcs_row(f"{i}.jpg") for i in range(20)]], CSV)
    (shard,) = tmp_path.glob("*.csv")
    shard.write_bytes(shard.read_bytes()[:-50])
    assert "the row of line 20 has " in refusal(path)


def test_a_manifest_that_was_cut_says_so(tmp_path: Path) -> None:
    path = write_s3(tmp_path, "CSV", [[Stored("a.jpg")]])
    path.write_text(path.read_text()[:-40])
    assert refusal(path).startswith("it begins as the manifest of an inventory does, and is not JSON to its end: ")


def test_csv_that_unpacks_to_very_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FREE_BYTES", 1 << 20)
    assert "bytes of it unpack to more than" in refusal(write_s3(tmp_path, "CSV", [[Stored("a.jpg")] * 30_000]))


def test_orc_that_unpacks_to_very_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "FREE_BYTES", 20 << 20)
    monkeypatch.setattr(tables, "MOST_OF_PARQUET", 100)
    assert "unpack to more than" in refusal(write_s3(tmp_path, "ORC", [[Stored("a/" * 5_000 + ".jpg")] * 4_000]))


@pytest.mark.parametrize("kind", ["ORC", "Parquet"])
def test_a_table_is_read_a_batch_at_a_time(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    columns = ("Bucket", "Key")
    rows = [*[Stored("a.jpg")] * 30, Stored(""), Stored("b" * 996 + ".jpg")]
    path = write_beside(tmp_path, kind, {"data/1": s3_data(kind, rows, columns)})
    assert refusal(path).endswith("data/1: row 31: it has no key")
    monkeypatch.setattr(tables, "LARGEST_BATCH", 1000)
    assert refusal(path).endswith(
        f"7 rows after row 28 hold {4 * len(BUCKET) + 2 * len('a.jpg') + 1000:,} bytes of names"
    )


def test_an_inventory_without_a_current_image_says_why(tmp_path: Path) -> None:
    rows = [Stored("a.jpg", is_latest=False), Stored("b.jpg", is_delete_marker=True), Stored("c.txt")]
    path = str(write_s3(tmp_path, "ORC", [rows]))
    with pytest.raises(ListingError) as refused:
        check_inputs([path], DEFAULT_RULES, str(tmp_path), 1 << 20)
    said = (
        "2 rows are of no current version of an object; 1 files have no extension of an image (--all_files takes any)"
    )
    assert str(refused.value) == f"--input: {path!r} holds no image; {said}"
