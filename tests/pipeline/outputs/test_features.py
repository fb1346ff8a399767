"""Reading vectors back: held against TensorFlow's own reading of the records, and against what nights did."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import load_features, read_features, stream_features
from pipeline.errors import OutputError, RunError
from pipeline.options.beam import LOCAL_RUNNER
from pipeline.outputs import selection
from pipeline.outputs.features import load_selection
from pipeline.outputs.history import all_ledgers_of
from pipeline.outputs.latest import latest, runs_of_newest_generation
from tests.collecting import Collect
from tests.conftest import TINY_FEATURES, Run
from tests.reading import newest_records, records
from transforms.compacting import SelectLatest
from transforms.records import tfrecord
from transforms.records.placed import images_of, unpack


@pytest.fixture
def output(two_nights: Path, tmp_path: Path) -> Path:
    """A copy of the output of `two_nights`."""
    return Path(shutil.copytree(two_nights / "output", tmp_path / "output"))


Reading = Callable[..., dict[str, dict[str, Any]]]


def by_arrow(output: Path, **options: Any) -> dict[str, dict[str, Any]]:
    reader = stream_features(str(output), **options)
    rows = reader.read_all().to_pylist()
    return {Path(row["uri"]).name: as_lists(row) for row in rows}


def by_numpy(output: Path, **options: Any) -> dict[str, dict[str, Any]]:
    found = load_features(str(output), **options)
    assert found.vectors.dtype == np.float32
    columns = found.columns
    return {
        Path(uri).name: as_lists({"embedding": list(vector), **{name: columns[name][i] for name in columns}})
        for i, (uri, vector) in enumerate(zip(found.uris, found.vectors, strict=True))
    }


def by_tensorflow(output: Path, **options: Any) -> dict[str, dict[str, Any]]:
    dataset = read_features(str(output), **options)
    found = {}
    for each in dataset:
        row = {name: value.numpy() for name, value in each.items()}
        found[Path(row.pop("image/uri").decode()).name] = as_lists({"embedding": row.pop("image/embedding"), **row})
    assert dataset.cardinality().numpy() == len(found)
    return found


def as_lists(row: dict[str, Any]) -> dict[str, Any]:
    """As TensorFlow has records: every value a list, texts as bytes."""
    lists = {}
    for name, value in row.items():
        many = [] if value is None else list(value) if isinstance(value, list | np.ndarray) else [value]
        lists[name] = [part.encode() if isinstance(part, str) else part for part in many]
    return lists


@pytest.mark.parametrize("read", [by_arrow, by_numpy, by_tensorflow])
@pytest.mark.parametrize("options", [{}, {"keep_deleted": True}, {"run_id": "night-2"}], ids=str)
def test_what_is_read_is_what_the_records_hold(output: Path, read: Reading, options: dict[str, Any]) -> None:
    if "run_id" in options:
        wanted = records(output, "night-2")
    else:
        wanted = newest_records(output, keep_deleted="keep_deleted" in options)
    found = read(output, **options)
    assert found.keys() == wanted.keys()
    assert len(wanted) == {"{}": 12, "{'keep_deleted': True}": 13, "{'run_id': 'night-2'}": 3}[str(options)]
    for name, row in found.items():
        assert row["embedding"] == wanted[name]["image/embedding"]
        for column in ("image/class/label", "price", "caption", "tags", "scores"):
            assert row[column] == wanted[name].get(column, []), (name, column)


def test_columns_have_the_types_that_all_images_need(output: Path) -> None:
    types = {field.name: field for field in stream_features(str(output)).schema}
    assert types["embedding"].type == pa.list_(pa.field("item", pa.float32(), nullable=False), TINY_FEATURES)
    assert (types["image/class/label"].type, types["image/class/label"].nullable) == (pa.int64(), False)
    assert (types["price"].type, types["price"].nullable) == (pa.float32(), True)
    assert (types["caption"].type, types["caption"].nullable) == (pa.string(), False)
    assert (types["tags"].type, types["scores"].type) == (pa.list_(pa.string()), pa.list_(pa.float32()))
    # Of the second night alone no image has more than three tags, and the new one has none.
    assert load_features(str(output)).columns["image/class/label"].dtype == np.int64
    spec = read_features(str(output)).element_spec
    assert spec["image/class/label"].shape.rank == 0
    assert spec["image/embedding"].shape == [TINY_FEATURES]


def test_what_records_tell_themselves_can_be_chosen(output: Path) -> None:
    found = load_features(str(output), columns=["image/width", "image/format", "caption"])
    assert list(found.columns) == ["image/width", "image/format", "caption"]
    names = [Path(uri).name for uri in found.uris]
    assert dict(zip(names, found.columns["image/width"].tolist(), strict=True))["07.jpg"] == 67
    assert set(found.columns["image/format"]) == {"JPEG"}
    assert load_features(str(output), columns=()).columns == {}


def test_some_images_are_read_alone(output: Path) -> None:
    uris = load_features(str(output)).uris
    wanted = [uris[7], uris[2]]
    chosen = selection.select_features(str(output), columns=(), uris=[*wanted, "/no.jpg"])
    assert chosen.count == 2
    assert set(load_selection(chosen).uris) == set(wanted)
    assert load_selection(selection.select_features(str(output), uris=["/no.jpg"])).uris == []


def test_arrow_has_the_vectors_without_a_copy(output: Path) -> None:
    found = load_features(str(output))
    table = found.to_arrow()
    (chunk,) = table["embedding"].chunks
    assert chunk.values.buffers()[1].address == found.vectors.ctypes.data
    assert table.schema.names[:2] == ["uri", "version"]
    assert table["uri"].to_pylist() == found.uris


def test_one_shard_is_read_at_a_time_and_to_its_last_wanted_record(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    genuine = tfrecord.open_shard
    monkeypatch.setattr(tfrecord, "open_shard", lambda uri: opened.append(uri) or genuine(uri))  # type: ignore[func-returns-value]
    monkeypatch.setattr(selection, "BATCH_RECORDS", 2)
    batches = stream_features(str(output))
    first = batches.read_next_batch()
    assert first.num_rows <= 2
    assert len(opened) == 1
    rest = batches.read_all()
    assert first.num_rows + rest.num_rows == 12
    assert len(opened) == len(set(opened)) > 2


def test_a_sample_is_of_the_records_that_are_there(output: Path) -> None:
    chosen = selection.select_features(str(output))
    everything = load_features(str(output))
    rows = {uri: (vector, i) for i, (uri, vector) in enumerate(zip(everything.uris, everything.vectors, strict=True))}
    drawn: set[str] = set()
    for seed in range(30):
        sample = chosen.sampled(5, seed)
        found = load_selection(sample)
        assert sample.count == len(set(found.uris)) == 5
        assert [rows[uri][1] for uri in found.uris] == sorted(rows[uri][1] for uri in found.uris)
        np.testing.assert_array_equal(found.vectors, np.stack([rows[uri][0] for uri in found.uris]))
        assert found.uris == load_selection(chosen.sampled(5, seed)).uris
        drawn |= set(found.uris)
    assert drawn == set(everything.uris)
    assert chosen.sampled(13, 0) is chosen


def test_what_is_not_there_is_said(output: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no column 'colour'; they have 'image/class/label', .*'image/width'"):
        load_features(str(output), columns=["colour"])
    with pytest.raises(RunError, match="no published run 'night-3'"):
        load_features(str(output), run_id="night-3")
    with pytest.raises(RunError, match="no published run"):
        load_features(str(tmp_path / "nothing"))


def test_a_column_of_a_name_that_tables_have_is_refused(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    rows = [{"uri": "images/00.jpg", "version": "3", "label": 1}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    run_pipeline(input=str(tmp_path / "m.parquet"), columns="*")
    with pytest.raises(RunError, match=r"the column 'version' .*choose columns without it \('label'\)"):
        load_features(str(tmp_path / "output"))
    assert load_features(str(tmp_path / "output"), columns=["label"]).columns["label"].tolist() == [1]


def test_a_damaged_record_is_an_error_with_its_place(output: Path) -> None:
    shard = next((output / "runs/night-1").glob("features-*"))
    data = bytearray(shard.read_bytes())
    data[60] ^= 1
    shard.write_bytes(data)
    with pytest.raises(OutputError, match=f"{shard.name}: record 0 at byte 0: the checksum of its data does not hold"):
        load_features(str(output), run_id="night-1")


def test_a_shard_that_lacks_a_record_is_an_error(output: Path) -> None:
    shard = sorted((output / "runs/night-1").glob("features-*"))[-1]
    shard.write_bytes(b"")
    with pytest.raises(OutputError, match="it holds 0 of the"):
        load_features(str(output))


def test_packed_shards_are_read(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), compression="gzip")
    assert load_features(str(tmp_path / "output")).vectors.shape == (12, TINY_FEATURES)


def test_a_run_of_no_images_reads_as_none(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), run_id="a", incremental=True)
    run_pipeline(input=str(images), run_id="b", incremental=True)
    found = load_features(str(tmp_path / "output"), run_id="b")
    assert (found.uris, found.vectors.shape, found.to_arrow().num_rows) == ([], (0, TINY_FEATURES), 0)
    assert list(read_features(str(tmp_path / "output"), run_id="b")) == []


def test_pipelines_choose_the_same_records(two_nights: Path) -> None:
    """In blocks of some uris, where `latest` sorts all ledgers in memory."""
    output = str(two_nights / "output")
    records = Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        ledgers = all_ledgers_of(runs_of_newest_generation(output, all_of_them=True))
        _ = (pipeline | SelectLatest(ledgers)).records | records
    found = [(shard, row, image.uri) for shard, block in records.elements for row, image in images_of(unpack(block))]
    wanted = latest(output).to_pylist()
    assert sorted(found) == sorted((row["shard"], row["row"], row["uri"]) for row in wanted)
