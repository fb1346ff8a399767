"""The whole pipeline on object stores: input, output and model, on real servers."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.options.config import CompactConfig, make_config
from pipeline.outputs.verify import verify_output
from pipeline.runs.compact import compact
from pipeline.runs.housekeeping import contents_of, prune
from pipeline.runs.run import run
from pipeline.runs.running import RunReport
from pipeline.runs.status import status_of
from pipeline.runs.superfluous import prune_compacted
from tests.conftest import Run, photo
from tests.integration.conftest import Server, check_large_upload
from tests.reading import newest_vectors, run_vectors
from transforms.inputs.inputs import list_input
from transforms.stores import filesystems, storage

pytestmark = pytest.mark.stores

NAMES = ["plain.jpg", "with space.jpg", "deep/er/naïve 写真.jpg", "hash#1.jpg", "what?.jpg", "a[1].jpg", "100%.jpg"]


def put_images(server: Server, folder: Path, prefix: str = "images") -> None:
    """The same images under a prefix of the store and in a local folder."""
    for i, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(60, 50, i).save(path, quality=90)
        storage.write_bytes(server.uri(f"{prefix}/{name}"), path.read_bytes())


def run_on(server: Server, tiny_module: str, **options: Any) -> RunReport:
    given = {"model": tiny_module, "storage_options": server.options, **options}
    report = run(make_config(given, []))
    assert report is not None
    return report


def test_listing_tells_names_sizes_versions(server: Server, tmp_path: Path) -> None:
    put_images(server, tmp_path)
    storage.write_bytes(server.uri("images/readme.txt"), b"x")
    rows = list(list_input(server.uri("images")))
    assert sorted(row.uri for row in rows) == sorted(server.uri(f"images/{name}") for name in NAMES)
    for row in rows:
        assert row.size == (tmp_path / row.uri.partition("/images/")[2]).stat().st_size
        assert row.version
        assert row.updated is not None
    assert [row.uri for row in list_input(server.uri("images/w*.jpg"))] == [
        server.uri("images/what?.jpg"), server.uri("images/with space.jpg"),
    ]  # fmt: skip
    assert len(list(list_input(server.uri("images/**/*.jpg")))) == len(NAMES)
    assert [row.uri for row in list_input(server.uri("images/a[1].jpg"))] == [server.uri("images/a[1].jpg")]


def test_equal_objects_are_embedded_once(server: Server, tmp_path: Path, tiny_module: str) -> None:
    """And recorded each, by the checksums of the listing; the dead letters of broken ones, too."""
    photo(60, 50, 1).save(tmp_path / "one.jpg", quality=90)
    photo(60, 50, 2).save(tmp_path / "two.jpg", quality=90)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        storage.write_bytes(server.uri(f"images/{name}"), (tmp_path / "one.jpg").read_bytes())
    storage.write_bytes(server.uri("images/d.jpg"), (tmp_path / "two.jpg").read_bytes())
    for name in ("x.jpg", "y.jpg"):
        storage.write_bytes(server.uri(f"images/{name}"), b"no image")
    output = server.uri("output")
    options = {"input": server.uri("images"), "output": output, "dedup": "listing", "incremental": True}
    report = run_on(server, tiny_module, **options)
    counts = report.manifest["counts"]
    assert (counts["listed"], counts["embedded"], counts["failed"], counts["duplicates"]) == (6, 4, 2, 3)
    result = verify_output(output)
    assert result.holds, result.as_text()
    vectors = {uri[-5]: vector for uri, vector in zip(*run_vectors(report.folder), strict=True)}
    assert vectors.keys() == set("abcd")
    np.testing.assert_array_equal(vectors["a"], vectors["b"])
    np.testing.assert_array_equal(vectors["a"], vectors["c"])
    assert not np.array_equal(vectors["a"], vectors["d"])
    storage.write_bytes(server.uri("images/e.jpg"), (tmp_path / "two.jpg").read_bytes())
    counts = run_on(server, tiny_module, **options).manifest["counts"]
    assert (counts["unchanged"], counts["failed_before"], counts["embedded"], counts["duplicates"]) == (4, 2, 1, 0)


def test_a_backfill_on_a_store(
    server: Server, tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that fails in the middle is continued; nights and a compaction follow, which alone stays."""
    put_images(server, tmp_path)
    output = server.uri("output")
    options = {"input": server.uri("images"), "output": output, "incremental": True}

    def fail_in_the_middle() -> None:
        upload, finished = storage.upload, []

        def failing(file: IO[bytes], uri: str) -> None:
            if len(finished) >= 4:
                raise OSError(5, "Input/output error")
            finished.append(uri)
            upload(file, uri)

        with monkeypatch.context() as patch:
            patch.setattr(storage, "upload", failing)
            with pytest.raises(RunError, match="Input/output error"):
                run_on(server, tiny_module, run_id="one", shard_size=1, **options)
        assert [(left.run_id, left.finished_shards) for left in contents_of(output).left_behind] == [("one", 2)]

    fail_in_the_middle()
    assert prune(output)[0].finished_shards == 2
    fail_in_the_middle()
    report = run_on(server, tiny_module, run_id="one", shard_size=1, **options)
    assert report.manifest["counts"]["embedded"] == len(NAMES)
    assert [shard["records"] for shard in report.manifest["shards"]] == [1] * len(NAMES)
    filesystems.configure(server.options)  # the local run has set its own
    assert not filesystems.filesystem(output).find(f"{output}/.staging")

    filesystems.filesystem(output).rm_file(server.uri("images/plain.jpg"))
    counts = run_on(server, tiny_module, run_id="two", **options).manifest["counts"]
    assert (counts["unchanged"], counts["embedded"], counts["deleted"]) == (len(NAMES) - 1, 0, 1)
    compacted = compact(CompactConfig(output, "compacted", 1 << 20, "none", server.options))
    assert compacted is not None
    assert compacted.manifest["counts"]["embedded"] == len(NAMES) - 1
    filesystems.configure(server.options)
    assert [run.run_id for run in prune_compacted(output)[0]] == ["one", "two"]
    names = filesystems.filesystem(output).find(f"{output}/runs")
    assert {name.partition("/runs/")[2].partition("/")[0] for name in names} == {"compacted"}
    assert len(newest_vectors(output)[0]) == len(NAMES) - 1
    assert status_of(output).newest == (len(NAMES) - 1, 1)
    assert verify_output(output).holds


@pytest.mark.parametrize("data", [b"", b"\r", b"a\n", b"a\r\n", b"a\r\r", b"--==0==\n\nb", bytes(range(256)) * 3])
def test_bytes_arrive_as_they_are(server: Server, data: bytes) -> None:
    storage.write_bytes(server.uri("bytes"), data)
    assert storage.read_bytes(server.uri("bytes")) == data


def test_the_whole_pipeline_runs_on_a_store(
    server: Server, tmp_path: Path, tiny_module: str, run_pipeline: Run
) -> None:
    put_images(server, tmp_path / "local")
    storage.write_bytes(server.uri("images/broken.jpg"), b"no image")
    filesystems.filesystem(server.uri("")).put(tiny_module, server.uri("module"), recursive=True)
    output = server.uri("out/features")
    options = {"input": server.uri("images"), "output": output, "model": server.uri("module"), "shard_size": 1000}
    report = run_on(server, tiny_module, run_id="r", **options)
    assert report.manifest["counts"]["failed_by_error"] == {"NotAnImage": 1}
    assert len(report.manifest["shards"]) > 1
    uris, vectors = run_vectors(report.folder)
    local = dict(zip(*run_vectors(run_pipeline(input=str(tmp_path / "local")).folder), strict=True))
    assert sorted(uris) == sorted(server.uri(f"images/{name}") for name in NAMES)
    expected = [local[str(tmp_path / "local" / uri.partition("/images/")[2])] for uri in uris]
    assert vectors.tobytes() == np.stack(expected).tobytes()
    filesystems.configure(server.options)  # the local run has set its own
    assert verify_output(output).holds
    assert not filesystems.filesystem(output).find(f"{output}/.staging")
    again = run_on(server, tiny_module, run_id="r", **options)
    assert again.manifest == report.manifest


def test_secrets_stand_in_no_manifest(server: Server, tmp_path: Path, tiny_module: str) -> None:
    put_images(server, tmp_path / "local")
    report = run_on(server, tiny_module, input=server.uri("images"), output=str(tmp_path / "output"))
    stores = report.manifest["config"]["storage_options"]
    assert stores == {server.scheme: sorted(server.options[server.scheme])}
    assert "127.0.0.1" not in (tmp_path / "output/runs" / report.manifest["run_id"] / "run.json").read_text()


def test_exclusive_writes_have_one_winner(s3_server: Server) -> None:
    """S3's conditional writes; the emulator of gs:// does not honour preconditions."""
    filesystems.configure(s3_server.options)
    uri = s3_server.uri("exclusive")
    storage.write_bytes(uri, b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        storage.write_bytes(uri, b"second", exclusive=True)
    assert storage.read_bytes(uri) == b"first"


def test_large_files_are_uploaded_in_parts(s3_server: Server) -> None:
    check_large_upload(s3_server.uri("large"))
