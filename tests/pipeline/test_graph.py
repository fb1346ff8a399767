"""The whole pipeline in this process: what becomes of every image, and what stays of a run that fails."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.corpus import BROKEN, broken_files, make_corpus
from pipeline.errors import RunError
from pipeline.options.config import make_config
from pipeline.outputs.dataset import read_ledger
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from tests.conftest import Run, photo
from tests.reading import run_vectors
from transforms.inputs.rules import ListingError
from transforms.records import layout


def test_every_image_is_accounted_for(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    """Good files, eight kinds of bad ones, missing ones, repeated ones: listed = embedded + failed."""
    for name, data in broken_files(photo(200, 150)).items():
        (images / name).write_bytes(data)
    manifest = tmp_path / "more.txt"
    good = sorted(str(path) for path in images.glob("[0-9]*.jpg"))
    gone = [f"{images}/gone {i}.jpg" for i in range(3)]
    manifest.write_text("\n".join([*good[:5], *gone, *gone, good[0]]))
    report = run_pipeline(input=[str(images), str(manifest), f"{images}/*.jpg", f"file://{good[1]}"])
    counts = report.manifest["counts"]
    assert counts["listed"] == 12 + 8 + 3
    assert counts["listed"] == counts["unchanged"] + counts["embedded"] + counts["failed"]
    assert counts["embedded"] == 12
    assert counts["failed_by_error"] == {
        "NotFound": 3, "NotAnImage": 2, "TruncatedImage": 2, "CorruptImage": 1, "EmptyObject": 1,
        "ImageTooLarge": 1, "UnsupportedMode": 1,
    }  # fmt: skip
    uris, _ = run_vectors(report.folder)
    assert sorted(uris) == good
    rows = [
        row
        for entry in report.manifest["ledgers"]
        for row in read_ledger(f"{report.folder}/{entry['path']}").to_pylist()
    ]
    assert sorted(row["uri"] for row in rows) == sorted([*map(str, images.iterdir()), *gone])
    by_uri = {row["uri"]: row for row in rows}
    for uri in good:
        stat = os.stat(uri)
        assert by_uri[uri]["version"] == f"{stat.st_size}-{stat.st_mtime_ns}"
        assert by_uri[uri]["size"] == stat.st_size
    assert verify_output(report.folder.rpartition("/runs/")[0]).holds


def test_records_hold_what_the_format_promises(images: Path, run_pipeline: Run) -> None:
    import tensorflow as tf

    report = run_pipeline(input=str(images))
    (shard,) = report.manifest["shards"]
    records = [
        tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(f"{report.folder}/{shard['path']}")
    ]
    assert len(records) == shard["records"] == 12
    for record in records:
        feature = record.features.feature
        uri = feature["image/uri"].bytes_list.value[0].decode()
        data = Path(uri).read_bytes()
        assert feature["image/key/sha256"].bytes_list.value[0].decode() == hashlib.sha256(data).hexdigest()
        assert feature["image/format"].bytes_list.value[0] == b"JPEG"
        width, height = Image.open(io.BytesIO(data)).size
        assert feature["image/width"].int64_list.value[0] == width
        assert feature["image/height"].int64_list.value[0] == height
        assert len(feature["image/embedding"].float_list.value) == report.manifest["model"]["feature_dim"]


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_shards_are_rolled_by_size_and_read_by_a_glob(images: Path, run_pipeline: Run, compression: str) -> None:
    import tensorflow as tf

    whole = run_pipeline(input=str(images), run_id="whole")
    cut = run_pipeline(input=str(images), shard_size=1000, compression=compression, run_id="cut")
    shards = cut.manifest["shards"]
    assert len(shards) > 2
    assert [shard["path"] for shard in shards] == [
        layout.shard_name("features", i, len(shards), compression) for i in range(len(shards))
    ]
    assert sum(shard["records"] for shard in shards) == 12
    files = tf.io.gfile.glob(f"{cut.folder}/features-*")
    read = tf.data.TFRecordDataset(files, "GZIP" if compression == "gzip" else "")
    parsed = [
        tf.train.Example.FromString(record.numpy()).features.feature["image/uri"].bytes_list.value[0] for record in read
    ]
    assert sorted(parsed) == sorted(str(path).encode() for path in images.iterdir())
    order, vectors = run_vectors(cut.folder)
    expected = dict(zip(*run_vectors(whole.folder), strict=True))
    np.testing.assert_array_equal(vectors, [expected[uri] for uri in order])
    assert verify_output(cut.folder.rpartition("/runs/")[0]).holds


def test_equal_runs_give_equal_files(images: Path, run_pipeline: Run) -> None:
    """Byte for byte, but for what run.json says of the time and the attempt."""
    (images / "broken.jpg").write_bytes(b"no image")
    one, other = (run_pipeline(input=str(images), run_id=run_id, shard_size=1000) for run_id in ("one", "other"))
    names = sorted(path.name for path in Path(one.folder).iterdir() if path.name != layout.MANIFEST)
    assert len(names) > 2 * 4  # shards, dead letters, a ledger for each, and _SUCCESS
    assert names == sorted(path.name for path in Path(other.folder).iterdir() if path.name != layout.MANIFEST)
    for name in names:
        assert Path(one.folder, name).read_bytes() == Path(other.folder, name).read_bytes()


def test_more_workers_give_the_same_vectors(images: Path, run_pipeline: Run) -> None:
    one = run_pipeline(input=str(images), run_id="one")
    two = run_pipeline(
        input=str(images), run_id="two", beam_args=["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    )
    expected = dict(zip(*run_vectors(one.folder), strict=True))
    uris, vectors = run_vectors(two.folder)
    assert sorted(uris) == sorted(expected)
    np.testing.assert_array_equal(vectors, [expected[uri] for uri in uris])


def test_a_published_run_id_is_refused_and_its_run_stays(images: Path, run_pipeline: Run) -> None:
    report = run_pipeline(input=str(images), run_id="night")
    before = {path: path.stat().st_mtime_ns for path in Path(report.folder).iterdir()}
    with pytest.raises(RunError, match=r"--run_id: 'night' is published in .* already, with another resize;"):
        run_pipeline(input=str(images), run_id="night", resize="slim_eval")
    photo(50, 50).save(images / "later.jpg")
    again = run_pipeline(input=str(images), run_id="night", threads=1)
    assert (again.folder, again.manifest) == (report.folder, report.manifest)
    assert before == {path: path.stat().st_mtime_ns for path in Path(report.folder).iterdir()}


def test_a_run_above_the_failure_rate_leaves_no_run(
    tmp_path: Path, images: Path, run_pipeline: Run, caplog: pytest.LogCaptureFixture
) -> None:
    for i in range(5):
        (images / f"bad {i}.jpg").write_text("no image")
    with pytest.raises(RunError) as refused:
        run_pipeline(input=str(images), max_failure_rate=0.2, run_id="r")
    message = str(refused.value)
    assert "5 of 17 images failed (29.4%), most of them with NotAnImage (5)" in message
    output = tmp_path / "output"
    kept = output / "refused/r"
    assert str(kept) in message
    assert sorted(path.name for path in kept.iterdir()) == ["dead_letters-00000-of-00001.jsonl", "run.json"]
    assert f"dead letters: {kept}/dead_letters-00000-of-00001.jsonl" in caplog.messages
    assert any(line.startswith(f"  5 NotAnImage, such as {images}/bad ") for line in caplog.messages)
    lines = (kept / "dead_letters-00000-of-00001.jsonl").read_text().splitlines()
    assert sorted(json.loads(line)["uri"] for line in lines) == [f"{images}/bad {i}.jpg" for i in range(5)]
    assert not (output / "runs").exists()
    assert not (output / ".staging").exists()
    # The same id may be used again, and a success clears the refusal.
    assert run_pipeline(input=str(images), max_failure_rate=0.3, run_id="r").manifest["counts"]["failed"] == 5
    assert not kept.exists()


def test_what_an_interrupted_publish_left_is_cleared(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    folder = tmp_path / "output/runs/r"
    folder.mkdir(parents=True)
    (folder / "features-00000-of-00009.tfrecord").write_bytes(b"half")
    with pytest.raises(RunError, match=r"holds 'runs/r/features-00000-of-00009.tfrecord', which no run has written"):
        run_pipeline(input=str(images), run_id="r")
    (folder / "run.json").write_text(json.dumps({"attempt": "0" * 32, "moves": {}}))  # and now one says so
    report = run_pipeline(input=str(images), run_id="r")
    assert not (folder / "features-00000-of-00009.tfrecord").exists()
    assert verify_output(str(tmp_path / "output")).holds
    assert report.manifest["counts"]["embedded"] == 12


@pytest.mark.parametrize("make", [lambda p: p / "nothing", lambda p: p / "*.gif", lambda p: p])
def test_inputs_of_nothing_are_errors_not_empty_successes(
    tmp_path: Path, make: Callable[[Path], Path], run_pipeline: Run
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/readme.txt").write_text("x")
    with pytest.raises(ListingError):
        run_pipeline(input=str(make(tmp_path / "empty")))
    assert not (tmp_path / "output").exists()


def test_a_failing_pipeline_publishes_nothing_and_says_why(
    tmp_path: Path, images: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transforms.records import spool

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool.storage, "upload", full)
    with pytest.raises(RunError, match=r"the pipeline failed: .*No space left on device"):
        run_pipeline(input=str(images), run_id="r")
    assert list((tmp_path / "output").iterdir()) == []


def test_one_shuffle_lies_between_listing_and_writing(tmp_path: Path, tiny_module: str) -> None:
    """From the pipeline's own graph: a GroupByKey of image objects, then none until the shards."""
    import apache_beam as beam

    from pipeline.graph import build
    from pipeline.model.prepare import prepare_model

    config = make_config({"input": "a", "output": str(tmp_path), "model": tiny_module}, [])
    pipeline = beam.Pipeline(runner="FnApiRunner")
    build(pipeline, config, prepare_model(tiny_module, "litert"), "artifact", "attempt", {})
    transforms = pipeline.to_runner_api().components.transforms
    shuffles = sorted(t.unique_name for t in transforms.values() if t.spec.urn == "beam:transform:group_by_key:v1")
    on_the_way = [s for s in shuffles if not s.startswith(("ListImages", "PublishRun", "SelectImages/Choose/Count"))]
    assert on_the_way == ["SelectImages/GroupByUnit"]


def test_a_pipeline_that_is_done_and_has_published_nothing_is_no_success(
    tmp_path: Path, images: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.runs import run as run_module

    monkeypatch.setattr(run_module, "execute", lambda *_, **__: Counter())
    with pytest.raises(RunError, match="the job is done, and nothing is published"):
        run(make_config({"input": str(images), "output": str(tmp_path / "o"), "model": tiny_module}, []))


def test_the_demo_corpus_is_what_it_promises(tmp_path: Path) -> None:
    make_corpus(tmp_path / "corpus")
    files = [path for path in (tmp_path / "corpus").rglob("*") if path.is_file()]
    good = [path for path in files if path.parent.name != BROKEN]
    assert len({path.parent for path in good}) >= 20
    assert len(good) >= 200
    assert len(files) - len(good) >= 8
    assert {path.suffix for path in good} == {".jpg", ".jpeg", ".png", ".webp", ".gif", ".tiff"}
    before = {path: path.stat().st_mtime_ns for path in files}
    make_corpus(tmp_path / "corpus")
    assert before == {path: path.stat().st_mtime_ns for path in files}


def test_of_two_runs_with_one_id_one_publishes(
    tmp_path: Path, images: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the slower one's lease was taken for over: it finds the run published, says so, and touches nothing."""
    from pipeline.outputs import lease
    from pipeline.runs import run as run_module

    execute = run_module.execute

    def slow(*arguments: Any, **options: Any) -> None:
        monkeypatch.setattr(run_module, "execute", execute)
        with monkeypatch.context() as patch:
            patch.setattr(lease, "_held", set())
            faster.append(run_pipeline(input=f"{images}/0*.jpg", run_id="r"))
        execute(*arguments, **options)

    faster: list[Any] = []
    monkeypatch.setattr(run_module, "execute", slow)
    with pytest.raises(RunError, match="another run with this id was faster"):
        run_pipeline(input=str(images), run_id="r")
    assert faster[0].manifest["counts"]["embedded"] == 10
    result = verify_output(str(tmp_path / "output"))
    assert result.holds
    assert result.runs[0].records == 10
    assert not (tmp_path / "output/.staging").exists()


def test_odd_times_and_names_fail_no_run(images: Path, run_pipeline: Run) -> None:
    first, second, *_ = sorted(images.iterdir())
    os.utime(first, (10**11, 10**11))
    os.utime(second, (-(10**9), -(10**9)))
    (images / "loop.jpg").symlink_to("loop.jpg")
    with open(os.fsencode(images) + b"/caf\xe9.jpg", "wb"):
        pass
    report = run_pipeline(input=str(images))
    assert report.manifest["counts"]["embedded"] == 12
    assert report.manifest["counts"]["failed"] == 2
    assert verify_output(report.folder.rpartition("/runs/")[0]).holds


def test_an_output_below_its_own_input_is_no_input(images: Path, run_pipeline: Run) -> None:
    for run_id in ("one", "two"):
        report = run_pipeline(input=[f"{images}/**", str(images)], output=str(images), all_files=True, run_id=run_id)
        assert report.manifest["counts"]["listed"] == report.manifest["counts"]["embedded"] == 12


def test_files_of_others_are_never_cleared(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    notes = tmp_path / "output/runs/r/notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    with pytest.raises(RunError, match=r"holds 'runs/r/notes\.txt', which no run has written"):
        run_pipeline(input=str(images), run_id="r")
    assert notes.read_text() == "mine"


def test_an_output_that_is_no_folder_is_refused_at_launch(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    (tmp_path / "output").write_text("a file")
    with pytest.raises(RunError, match="is no folder that can be written to"):
        run_pipeline(input=str(images))
