"""Inventories of stores: what they list, whatever the format."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.inputs.inventory_files import (
    BUCKET,
    DIGEST,
    FORMATS,
    GCS_FIELDS,
    GENERATION,
    ODD,
    ODD_LINES,
    TIME,
    Stored,
    gcs_row,
    listed,
    refusal,
    s3_data,
    s3_schema,
    write_beside,
    write_gcs,
    write_s3,
)  # fmt: skip
from transforms.elements import ImageObject
from transforms.inputs import tables
from transforms.inputs.coverage import coverage
from transforms.inputs.inputs import Part, list_part, split_input
from transforms.inputs.rules import Rules

METADATA = {"object_metadata_report_options": {"metadata_fields": GCS_FIELDS}}
ETAG = Stored("").etag


def image(key: str, **facts: Any) -> ImageObject:
    told = {"size": 12345, "version": ETAG, "updated": TIME.timestamp(), "md5": ETAG, **facts}
    return ImageObject(f"s3://{BUCKET}/{key}", **told)


@pytest.mark.parametrize("kind", FORMATS)
def test_objects_of_s3_are_those_of_its_listing_whatever_their_keys(kind: str, tmp_path: Path) -> None:
    keys = [f"in/{name}.jpg" for name in ODD + ODD_LINES]
    found, skipped = listed(write_s3(tmp_path, kind, [[Stored(key) for key in keys[:9]], map(Stored, keys[9:])]))
    assert found == [image(key) for key in keys]
    assert not skipped


@pytest.mark.parametrize("kind", FORMATS)
def test_only_current_images_of_s3_are_taken_and_the_rest_is_counted(kind: str, tmp_path: Path) -> None:
    rows = [
        Stored("a.jpg"),
        Stored("a.jpg", 7, "f" * 32, is_latest=False),
        Stored("gone.jpg", None, None, is_delete_marker=True),
        Stored("folder/", 0),
        Stored("folder/b.PNG", etag="0123-5", is_multipart=True),
        Stored("folder/notes.txt"),
        Stored("._a.jpg"),
    ]
    path = write_s3(tmp_path, kind, [rows])
    found, skipped = listed(path)
    assert found == [image("a.jpg"), image("folder/b.PNG", version="0123-5", md5="")]
    assert skipped == {"not current": 2, ".txt": 1, "._*": 1}
    assert [each.uri.rpartition("/")[2] for each in listed(path, Rules(all_files=True))[0]] == [
        "a.jpg", "b.PNG", "notes.txt",
    ]  # fmt: skip
    assert listed(path, Rules(exclude=("folder",))) == ([image("a.jpg")], skipped + Counter(excluded=1))
    assert listed(path, Rules(uri_column="no", version_column="none", size_column="x"))[0] == found
    assert not coverage(str(path))(f"s3://{BUCKET}/other.jpg")


@pytest.mark.parametrize("kind", FORMATS)
def test_the_etag_is_the_md5_only_where_the_inventory_says_so(kind: str, tmp_path: Path) -> None:
    rows = [
        Stored("plain.jpg", encryption="NOT-SSE"),
        *(Stored(f"{name}.jpg", encryption=name) for name in ("SSE-KMS", "DSSE-KMS", "SSE-C")),
        Stored("parts.jpg", is_multipart=True),
        Stored("odd.jpg", etag="0123"),
    ]
    found, _ = listed(write_s3(tmp_path, kind, [rows]))
    assert {each.uri.rpartition("/")[2]: each.md5 for each in found if each.md5} == {"plain.jpg": ETAG}
    for missing in ("IsMultipartUploaded", "EncryptionStatus"):
        columns = [
            name for name in ("Bucket", "Key", "ETag", "IsMultipartUploaded", "EncryptionStatus") if name != missing
        ]
        data = {"data/1": s3_data(kind, rows, columns)}
        (found_one, *_), _ = listed(write_beside(tmp_path / missing, kind, data, fileSchema=s3_schema(kind, columns)))
        assert found_one == ImageObject(f"s3://{BUCKET}/plain.jpg", version=ETAG)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("csv", METADATA),
        ("csv", {"objectMetadataReportOptions": {"metadataFields": GCS_FIELDS}, "csvOptions": {"delimiter": ";"}}),
        ("csv", {"csv_options": {"header_required": True, "record_separator": "\r\n", "delimiter": "\t"}}),
        ("csv", {"csvOptions": {"headerRequired": True, "recordSeparator": "\n"}}),
        ("parquet", {}),
    ],
)
def test_objects_of_google_cloud_are_those_of_its_listing(kind: str, config: dict[str, Any], tmp_path: Path) -> None:
    names = [f"in/{name}.jpg" for name in ODD]
    last = [
        gcs_row("old.jpg", timeDeleted=TIME), gcs_row("packed.jpg", contentEncoding="gzip"), gcs_row("in/"),
        gcs_row("readme"),
    ]  # fmt: skip
    found, skipped = listed(write_gcs(tmp_path, kind, [list(map(gcs_row, names)), last], config))
    facts = {"version": str(GENERATION), "updated": TIME.timestamp()}
    expected = [ImageObject(f"gs://{BUCKET}/{name}", 7, md5=DIGEST.hex(), **facts) for name in names]
    assert found == [*expected, ImageObject(f"gs://{BUCKET}/packed.jpg", **facts)]
    assert skipped == {"not current": 1, "none": 1}


@pytest.mark.parametrize("kind", FORMATS)
def test_each_data_file_is_a_part_that_tells_all_that_is_needed(kind: str, tmp_path: Path) -> None:
    path = write_s3(tmp_path, kind, [[Stored(f"{i}/{j}.jpg") for j in range(3)] for i in range(5)])
    parts = list(split_input(str(path)))
    assert len(parts) == 5
    path.unlink()
    found = [[each.uri for each in list_part(part)] for part in parts if isinstance(part, Part)]
    assert found == [[f"s3://{BUCKET}/{i}/{j}.jpg" for j in range(3)] for i in range(5)]


def test_an_empty_bucket_has_no_parts(tmp_path: Path) -> None:
    path = write_s3(tmp_path, "CSV", [])
    assert not list(split_input(str(path)))
    assert listed(path) == ([], {})


@pytest.mark.parametrize("kind", FORMATS)
def test_a_copy_is_read_where_s3_lays_it_or_beside_its_manifest(kind: str, tmp_path: Path) -> None:
    original = write_s3(tmp_path / "original", kind, [[Stored("a.jpg")]])
    copy = tmp_path / "a copy" / "here"
    copy.mkdir(parents=True)
    shutil.copy(original, copy)
    places = [copy.parent / "data", copy / "data"]
    said = refusal(copy / "manifest.json")
    assert "it is not there; it was looked for as" in said
    assert all(str(place) in said for place in places)
    for place in reversed(places):
        shutil.copytree(original.parents[1] / "data", place)
        assert listed(copy / "manifest.json")[0] == [image("a.jpg")]


@pytest.mark.parametrize("kind", FORMATS)
def test_many_batches_are_all_their_rows_and_the_first_one_needs_no_other(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH_ROWS", 7)
    keys = [f"{i:03}.jpg" for i in range(100)]
    path = write_s3(tmp_path, kind, [list(map(Stored, keys))])
    assert listed(path)[0] == [image(key) for key in keys]
    (part,) = split_input(str(path))
    assert isinstance(part, Part)
    found = list_part(part)
    assert next(found) == image("000.jpg")
    found.close()


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=8), max_size=5))
def test_any_key_is_read_from_csv_as_it_is_from_parquet(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    rows = [Stored(f"in {name}/x.jpg") for name in names]
    for kind in ("CSV", "Parquet"):
        found, _ = listed(write_s3(tmp_path_factory.mktemp("any"), kind, [rows]))
        assert found == [image(row.key) for row in rows]


@pytest.mark.parametrize(
    "rows",
    [
        [{"uri": "a.jpg"}, {"uri": "b.jpg", "sourceBucket": "x", "files": []}],
        [{"uri": "a.jpg", "sourceBucket": "x", "files": []}, {"uri": "b.jpg"}],
        [{"report_config": {}, "uri": "a.jpg"}],
    ],
)
def test_json_lines_stay_manifests(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [each.uri for each in listed(path)[0]] == [f"{tmp_path}/{row['uri']}" for row in rows]
    assert list(split_input(str(path))) == [Part(str(path))]


def test_a_manifest_may_be_long_and_its_entries_in_any_order(tmp_path: Path) -> None:
    path = write_s3(tmp_path, "CSV", [[Stored("a.jpg")]])
    content = {**json.loads(path.read_text()), "long": "x" * 100_000}
    for ordered in (content, dict(sorted(content.items()))):
        path.write_text(json.dumps(ordered))
        assert listed(path)[0] == [image("a.jpg")]
