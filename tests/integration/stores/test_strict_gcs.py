"""What depends on pages, generations and preconditions of Google's store, on fake-gcs-server."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.options.config import make_config
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from tests.conftest import Run, photo
from tests.integration.conftest import BUCKET, Server, check_large_upload, clear
from tests.integration.stores.corpora import check_corpus
from tests.integration.stores.ranges import check_ranges, check_split
from tests.integration.stores.versions import check_versions
from tests.reading import run_vectors
from transforms.elements import ImageObject
from transforms.inputs import paging
from transforms.inputs.inputs import Part, list_input, list_part, split_input
from transforms.publishing import claim
from transforms.stores import filesystems, storage
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait

pytestmark = pytest.mark.stores


@pytest.fixture(scope="module")
def gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of this module's own, its process stopped at the end."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    root = tmp_path_factory.mktemp("gcs")
    address = ["-scheme=http", "-host=127.0.0.1", f"-port={port}", f"-public-host=127.0.0.1:{port}"]
    process = subprocess.Popen(
        [os.environ["FAKE_GCS_SERVER"], *address, "-backend=memory", "-log-level=error"], cwd=root
    )
    options = {"gs": {"token": "anon", "project": "test", "endpoint_url": f"http://127.0.0.1:{port}"}}
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    filesystems.configure(options)
    filesystems.filesystem("gs://").mkdir(BUCKET)
    yield Server("gs", port, options)
    process.terminate()
    process.wait(10)


@pytest.fixture
def bucket(gcs: Server) -> Iterator[Server]:
    filesystems.configure(gcs.options)
    clear(gcs.uri(""))
    yield gcs
    filesystems.configure({})


def put(bucket: Server, name: str, data: bytes) -> ImageObject:
    storage.write_bytes(bucket.uri(name), data)
    return storage.describe(bucket.uri(name))


def test_listings_go_by_pages(bucket: Server) -> None:
    """2,100 objects are three pages of up to a thousand, each once, with what the fetch compares."""
    for i in range(2100):
        storage.write_bytes(bucket.uri(f"many/{i % 3}/{i:04}.jpg"), b"x")
    pages = list(paging.pages(bucket.uri("many/"), recursive=True))
    rows = [row for page in pages for row in page.objects]
    assert len(pages) >= 3
    assert max(len(page.objects) for page in pages) <= 1000
    assert sorted(row.uri for row in rows) == sorted(bucket.uri(f"many/{i % 3}/{i:04}.jpg") for i in range(2100))
    assert all(row.version and row.size == 1 and row.checksum.startswith("crc32c:") for row in rows)


def test_listings_are_split_by_prefix(bucket: Server) -> None:
    names = [f"root/{a}/{b}.jpg" for a in "abc" for b in range(4)] + ["root/beside.jpg", "root/notes.txt"]
    for name in names:
        storage.write_bytes(bucket.uri(name), b"x")
    skipped: list[tuple[str, str]] = []

    def note(name: str, kind: str) -> None:
        skipped.append((name, kind))

    found = list(split_input(bucket.uri("root"), skipped=note))
    rows = [item for item in found if isinstance(item, ImageObject)]
    for part in (item for item in found if isinstance(item, Part)):
        rows += list_part(part, skipped=note)
    assert sorted(row.uri for row in rows) == sorted(bucket.uri(name) for name in names if name.endswith(".jpg"))
    assert skipped == [(bucket.uri("root/notes.txt"), ".txt")]
    assert sorted(row.uri for row in list_input(bucket.uri("root/[ab]/*.jpg"))) == sorted(
        bucket.uri(f"root/{a}/{b}.jpg") for a in "ab" for b in range(4)
    )


def test_the_listed_generation_is_read_or_its_row_says_what_was(bucket: Server) -> None:
    listed = put(bucket, "images/one.jpg", b"first")
    assert fetch_and_wait(listed, Policy()).data == b"first"
    now = put(bucket, "images/one.jpg", b"second one")
    fetched = fetch_and_wait(listed, Policy())
    assert fetched.data == b"second one"
    assert fetched.source.version == now.version != listed.version
    assert fetched.source.listed_version == listed.version
    filesystems.filesystem(listed.uri).rm_file(listed.uri)
    with pytest.raises(FetchError) as failed:
        fetch_and_wait(listed, Policy())
    assert failed.value.error == "NotFound"


def test_exclusive_writes_have_one_winner(bucket: Server) -> None:
    uri = bucket.uri("exclusive")
    storage.write_bytes(uri, b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        storage.write_bytes(uri, b"second", exclusive=True)
    assert storage.read_bytes(uri) == b"first"


def test_the_whole_pipeline_runs_and_a_rival_cannot_publish(
    bucket: Server, tmp_path: Path, tiny_module: str, run_pipeline: Run
) -> None:
    (tmp_path / "local").mkdir()
    for i in range(12):
        path = tmp_path / f"local/{i:02} #[{i}].jpg"
        photo(60, 50, i).save(path, quality=90)
        storage.write_bytes(bucket.uri(f"images/{path.name}"), path.read_bytes())
    output = bucket.uri("out")
    options = {"input": bucket.uri("images"), "output": output, "model": tiny_module, "run_id": "r", "shard_size": 1000}
    report = run(make_config({**options, "storage_options": bucket.options}, []))
    assert report is not None
    uris, vectors = run_vectors(report.folder)
    assert verify_output(output).holds
    # A rival that was launched before the run was published finds it claimed.
    with pytest.raises(RuntimeError, match="another run with this id was faster"):
        claim(report.folder, "rival", [])
    assert verify_output(output).holds
    local = dict(zip(*run_vectors(run_pipeline(input=str(tmp_path / "local")).folder), strict=True))
    expected = [local[f"{tmp_path}/local/{uri.rpartition('/')[2]}"] for uri in uris]
    assert vectors.tobytes() == np.stack(expected).tobytes()


def test_large_files_are_uploaded_in_parts(bucket: Server) -> None:
    check_large_upload(bucket.uri("large"))


def test_parts_of_a_container_are_of_the_listed_generation(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_versions(bucket.uri("x.tar"), monkeypatch)


def test_ranges_of_names_give_what_the_plain_listing_gives(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_ranges(bucket, monkeypatch)


def test_a_flat_prefix_is_split_into_ranges_for_all_workers(bucket: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_split(bucket, monkeypatch)


def test_all_forms_of_a_corpus_give_the_same_through_faults(
    bucket: Server, tmp_path: Path, tiny_module: str, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_corpus(bucket, tmp_path, tiny_module, run_pipeline, monkeypatch)
