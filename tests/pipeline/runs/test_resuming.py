"""A run that failed or was killed, continued by the same command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError
from pipeline.outputs.verify import verify_output
from pipeline.runs.housekeeping import contents_of, prune
from tests.conftest import Run, photo
from tests.full_disk import full_after
from tests.reading import run_vectors
from transforms import publishing
from transforms.records import layout
from transforms.records.spool import STAGED_FILE
from transforms.stores import reading, storage

pytestmark = pytest.mark.whole

SHARD = 512  # bytes: a few records


def fetched_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths in the order in which they are fetched from now on."""
    paths: list[str] = []
    read = reading.read_local

    def counted(image: Any, max_bytes: int) -> Any:
        paths.append(image.uri)
        return read(image, max_bytes)

    monkeypatch.setattr(reading, "read_local", counted)
    return paths


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(60):
        photo(40, 30, i).save(folder / f"{i:02}.jpg", quality=90)
    return folder


def staged_ledgers(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("output/.staging/*/*/features-*.ledger"))


def interrupted(many: Path, run_pipeline: Run, **options: Any) -> None:
    """A run that fails after some shards are finished."""
    with full_after(8), pytest.raises(RunError, match="No space left on device"):
        run_pipeline(input=str(many), run_id="r", shard_size=SHARD, **options)


def test_finished_shards_are_taken_over(
    many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run_pipeline(input=str(many), output=str(tmp_path / "whole"), shard_size=SHARD)
    interrupted(many, run_pipeline, incremental=True)
    kept = staged_ledgers(tmp_path)
    assert len(kept) == 4
    assert [left.finished_shards for left in contents_of(str(tmp_path / "output")).left_behind] == [4]

    adopted = sum(layout_rows(ledger) for ledger in kept)
    with monkeypatch.context() as patch:
        paths = fetched_paths(patch)
        report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD, incremental=True)
    embedding = paths[-(60 - adopted) :]
    assert len(set(embedding)) == 60 - adopted
    assert report.manifest["counts"]["embedded"] == 60
    assert report.manifest["counts"]["listed"] == 60
    assert report.manifest["counts"]["new"] == 60
    assert verify_output(str(tmp_path / "output")).holds
    assert not (tmp_path / "output/.staging").exists()
    assert_same_vectors(expected.folder, report.folder)


def test_shards_of_an_earlier_build_are_taken_over_and_tell_no_reason(
    many: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    interrupted(many, run_pipeline, incremental=True)
    for ledger in staged_ledgers(tmp_path):
        note = pq.read_metadata(ledger).metadata[STAGED_FILE.encode()]
        older = pq.read_table(ledger).drop_columns("reason").replace_schema_metadata({STAGED_FILE: note})
        pq.write_table(older, ledger)
    report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD, incremental=True)
    assert report.manifest["counts"]["embedded"] == 60
    assert "new" not in report.manifest["counts"]
    assert verify_output(str(tmp_path / "output")).holds


def layout_rows(ledger: Path) -> int:
    return int(pq.read_metadata(ledger).num_rows)


def assert_same_vectors(one: str, two: str) -> None:
    expected, found = (dict(zip(*run_vectors(folder), strict=True)) for folder in (one, two))
    assert expected.keys() == found.keys()
    for uri, vector in expected.items():
        np.testing.assert_array_equal(found[uri], vector)


def test_shards_of_other_options_are_dropped(many: Path, run_pipeline: Run, tmp_path: Path) -> None:
    interrupted(many, run_pipeline)
    report = run_pipeline(input=str(many), run_id="r", resize="slim_eval")
    assert report.manifest["counts"]["embedded"] == 60
    assert [shard["records"] for shard in report.manifest["shards"]] == [60]
    assert verify_output(str(tmp_path / "output")).holds


def test_shards_of_a_bundle_that_was_tried_twice_are_not_both_taken(
    many: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    interrupted(many, run_pipeline)
    for ledger in staged_ledgers(tmp_path)[:2]:  # as if another try of the bundle had made the same shards
        data = ledger.with_suffix("")
        name = ledger.name.replace(ledger.name[9:17], "0" * 8)
        ledger.with_name(name).write_bytes(ledger.read_bytes())
        data.with_name(name.removesuffix(".ledger")).write_bytes(data.read_bytes())
    report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    assert report.manifest["counts"]["embedded"] == 60
    assert verify_output(str(tmp_path / "output")).holds


@pytest.mark.parametrize("step", ["_publish_file", "_finish", "success"])
def test_a_publish_that_ended_in_the_middle_is_continued(
    step: str, many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is embedded again, whatever was moved already."""
    calls: list[int] = []
    with monkeypatch.context() as patch:
        if step == "success":
            write = storage.write_bytes

            def fail_at_success(uri: str, data: bytes, *, exclusive: bool = False) -> None:
                if uri.endswith(layout.SUCCESS):
                    raise OSError(5, "Input/output error")
                write(uri, data, exclusive=exclusive)

            patch.setattr(publishing.storage, "write_bytes", fail_at_success)
        else:
            right = getattr(publishing.PublishRun, step)

            def fail_at_third(self: Any, *arguments: Any) -> Any:
                calls.append(1)
                if step == "_finish" or len(calls) == 3:
                    raise OSError(5, "Input/output error")
                return right(self, *arguments)

            patch.setattr(publishing.PublishRun, step, fail_at_third)
        with pytest.raises(RunError, match="Input/output error"):
            run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    assert not (tmp_path / "output/runs/r" / layout.SUCCESS).exists()
    loads: list[Any] = []
    monkeypatch.setattr("transforms.loading._Load.process", lambda _, element: loads.append(element) or ())
    report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    assert loads == []
    assert report.manifest["counts"]["embedded"] == 60
    assert verify_output(str(tmp_path / "output")).holds
    assert not (tmp_path / "output/.staging").exists()


def test_what_is_left_is_listed_and_pruned(many: Path, run_pipeline: Run, tmp_path: Path) -> None:
    output = str(tmp_path / "output")
    report = run_pipeline(input=str(many), run_id="good")
    interrupted(many, run_pipeline)
    contents = contents_of(output)
    assert [(run.run_id, run.embedded, run.generation) for run in contents.published] == [("good", 60, 1)]
    assert "left behind: r: 4 finished shards, " in contents.as_text()
    one = replace(contents.left_behind[0], finished_shards=1)
    assert one.as_line().startswith("left behind: r: 1 finished shard, ")
    assert json.loads(contents.as_json())["left_behind"][0]["run_id"] == "r"
    assert [left.run_id for left in prune(output)] == ["r"]
    assert contents_of(output).left_behind == []
    assert Path(report.folder).exists()
