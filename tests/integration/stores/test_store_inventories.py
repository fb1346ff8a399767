"""Inventories that a bucket's own store writes: they list what listing the bucket does, and nights over them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.outputs.dataset import read_ledger
from tests.conftest import Run, photo
from tests.integration.conftest import BUCKET, Server
from tests.transforms.inputs.inventory_files import DATE, FORMATS, ODD, Stored, s3_data, s3_manifest
from transforms.inputs.inputs import Part, list_input, list_part, split_input
from transforms.inputs.rules import ListingError
from transforms.stores import filesystems, storage

pytestmark = [pytest.mark.parametrize("server", ["s3"], indirect=True), pytest.mark.stores]

NAMES = [f"photos/{name}.jpg" for name in ODD if "//" not in name]
FOLDER = f"inventories/{BUCKET}/all/{DATE}"
FILES = f"{FOLDER}/files"  # as in the manifest.json of S3's documentation: keys count, not what lies in data/
MANIFEST = f"{FOLDER}/manifest.json"


def put(server: Server, name: str, seed: int) -> None:
    encoded = io.BytesIO()
    photo(40, 30, seed).save(encoded, "JPEG", quality=90)
    storage.write_bytes(server.uri(name), encoded.getvalue())


def take_inventory(server: Server, kind: str, parts: int = 3) -> str:
    """Lists the whole bucket by the store's own call, and writes that into it as an inventory."""
    fs = filesystems.filesystem("s3://")
    found = fs.call_s3("list_objects_v2", Bucket=BUCKET)["Contents"]
    rows = [
        Stored(each["Key"], each["Size"], each["ETag"].strip('"'), each["LastModified"], bucket=BUCKET, version=None)
        for each in found
    ]
    data = {f"{FILES}/{i}.{kind}": s3_data(kind, rows[i::parts]) for i in range(parts)}
    changes = {"sourceBucket": BUCKET, "destinationBucket": f"arn:aws:s3:::{BUCKET}"}
    manifest = json.dumps(s3_manifest(kind, data, **changes)).encode()
    for key, content in {**data, MANIFEST: manifest}.items():
        storage.write_bytes(server.uri(key), content)
    return server.uri(MANIFEST)


@pytest.mark.parametrize("kind", FORMATS)
def test_an_inventory_lists_what_listing_the_bucket_does(server: Server, kind: str) -> None:
    for name in NAMES:
        storage.write_bytes(server.uri(name), name.encode())
    for name in ("photos/readme.txt", "photos/empty/"):
        storage.write_bytes(server.uri(name), b"")
    manifest = take_inventory(server, kind)
    skipped: list[str] = []
    found = sorted(list_input(manifest, skipped=lambda name, _: skipped.append(name)))
    listed = sorted(list_input(server.uri("photos")))
    assert len(listed) == len(NAMES)
    assert [row._replace(updated=int(row.updated or 0)) for row in found] == [
        row._replace(updated=int(row.updated or 0)) for row in listed
    ]
    assert skipped == [server.uri("photos/readme.txt")]
    parts = [part for part in split_input(manifest) if isinstance(part, Part)]
    assert len(parts) == 3
    assert sorted(row for part in parts for row in list_part(part)) == found


@pytest.mark.parametrize("key", [f"{FILES}/1.CSV", MANIFEST])
def test_a_file_that_is_gone_is_named(server: Server, key: str) -> None:
    storage.write_bytes(server.uri("a.jpg"), b"x")
    manifest = take_inventory(server, "CSV")
    filesystems.filesystem("s3://").rm_file(server.uri(key))
    with pytest.raises(ListingError) as refused:
        list(list_input(manifest))
    said = "no such file or folder" if key == MANIFEST else f"its data file {key}: it is not there; it was looked for"
    assert str(refused.value).startswith(f"{manifest}: {said}")


@pytest.fixture
def night(server: Server, run_pipeline: Run) -> Callable[..., Any]:
    def run_it(run_id: str, manifest: str) -> Any:
        report = run_pipeline(input=manifest, run_id=run_id, storage_options=server.options, incremental=True)
        filesystems.configure(server.options)  # the run has set its own
        ledgers = [read_ledger(f"{report.folder}/{each['path']}") for each in report.manifest["ledgers"]]
        return report.manifest["counts"], {row["uri"]: row for ledger in ledgers for row in ledger.to_pylist()}

    return run_it


def test_nights_over_inventories_embed_what_has_changed(server: Server, night: Callable[..., Any]) -> None:
    for seed, name in enumerate(NAMES):
        put(server, name, seed)
    storage.write_bytes(server.uri("photos/readme.txt"), b"x")
    uris = set(map(server.uri, NAMES))
    counts, rows = night("1", take_inventory(server, "ORC"))
    assert (counts["embedded"], counts["unchanged"], counts["left_out"]) == (len(NAMES), 0, {".txt": 1})
    assert {uri: row["version"] for uri, row in rows.items()} == {uri: storage.describe(uri).version for uri in uris}

    counts, _ = night("2", server.uri(MANIFEST))
    assert (counts["embedded"], counts["unchanged"], counts["deleted"]) == (0, len(NAMES), 0)

    put(server, NAMES[3], 100)
    counts, rows = night("3", take_inventory(server, "Parquet"))
    assert (counts["embedded"], counts["unchanged"]) == (1, len(NAMES) - 1)
    assert set(rows) == {server.uri(NAMES[3])}

    # One that has changed since, one that is gone, one that is new.
    manifest = take_inventory(server, "CSV")
    put(server, NAMES[5], 101)
    put(server, "photos/new.jpg", 102)
    filesystems.filesystem("s3://").rm_file(server.uri(NAMES[6]))
    counts, _ = night("4", manifest)
    assert (counts["embedded"], counts["unchanged"], counts["deleted"]) == (0, len(NAMES), 0)
    counts, _ = night("5", take_inventory(server, "CSV"))
    assert (counts["embedded"], counts["unchanged"], counts["deleted"]) == (2, len(NAMES) - 2, 0)


def test_what_has_changed_since_the_inventory_is_read_as_it_is_now(server: Server, night: Callable[..., Any]) -> None:
    for seed, name in enumerate(NAMES[:3]):
        put(server, name, seed)
    manifest = take_inventory(server, "Parquet")
    changed, gone, _ = map(server.uri, NAMES[:3])
    listed = storage.describe(changed)
    put(server, NAMES[0], 100)
    filesystems.filesystem("s3://").rm_file(gone)
    counts, rows = night("1", manifest)
    assert (counts["embedded"], counts["failed_by_error"]) == (2, {"NotFound": 1})
    now = storage.describe(changed)
    assert (rows[changed]["version"], rows[changed]["listed_version"]) == (now.version, listed.version)
