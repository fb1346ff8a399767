"""Columns from manifests to records, ledgers and dead letters; and nights on which they alone change."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import ConfigError, RunError
from pipeline.options.config import CompactConfig
from pipeline.outputs.dataset import read_dead_letters, read_ledger
from pipeline.outputs.features import load_features
from pipeline.outputs.verify import verify_output
from pipeline.runs.compact import compact
from pipeline.runs.running import RunReport
from tests.conftest import Run
from tests.reading import run_vectors
from transforms.inputs.rules import ListingError

pytestmark = pytest.mark.corpora
ROWS: list[dict[str, Any]] = [
    {"uri": f"images/{i:02}.jpg", "label": i % 3, "price": i / 4, "caption": f"Bild „{i}“, das", "tags": ["a", f"{i}"]}
    for i in range(12)
]
ROWS[5] |= {"label": None, "caption": None, "tags": []}


def jsonl(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def records(report: RunReport) -> dict[str, dict[str, Any]]:
    """By base name, what TensorFlow finds in the records of a run; features without values are left out."""
    import tensorflow as tf

    found = {}
    for raw in tf.data.TFRecordDataset(sorted(tf.io.gfile.glob(report.folder + "/features-*"))):
        example = tf.train.Example.FromString(raw.numpy())
        values = {
            name: list(getattr(feature, feature.WhichOneof("kind")).value)
            for name, feature in example.features.feature.items()
            if feature.WhichOneof("kind")
        }
        found[Path(values["image/uri"][0].decode()).name] = values
    return found


def ledger(report: RunReport) -> list[dict[str, Any]]:
    paths = [Path(report.folder, entry["path"]) for entry in report.manifest["ledgers"]]
    return [row for path in paths for row in read_ledger(str(path)).to_pylist()]


def test_json_lines_come_out_typed(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    (images / "03.jpg").write_bytes(b"\xff\xd8 no picture")
    given = jsonl(tmp_path / "m.jsonl", ROWS)
    report = run_pipeline(input=given, columns=["label=image/class/label,price", "caption,tags"])
    found = records(report)
    assert len(found) == 11
    for i, row in enumerate(ROWS):
        if i in (3, 5):
            continue
        values = found[f"{i:02}.jpg"]
        assert values["image/class/label"] == [row["label"]]
        assert values["price"] == [row["price"]]
        assert values["caption"] == [row["caption"].encode()]
        assert values["tags"] == [b"a", str(i).encode()]
    assert found["05.jpg"].keys() & {"image/class/label", "caption", "tags", "price"} == {"price"}
    carried = {Path(row["uri"]).name: json.loads(row["columns"]) for row in ledger(report)}
    wanted = {"image/class/label": 0, "price": 0.75, "caption": "Bild „3“, das", "tags": ["a", "3"]}
    assert carried["03.jpg"] == wanted
    assert carried["05.jpg"] == {"image/class/label": None, "price": 1.25, "caption": None, "tags": []}
    (letter,) = read_dead_letters(report.folder + "/dead_letters-00000-of-00001.jsonl")
    assert letter["columns"] == wanted
    assert report.manifest["columns"] == [
        {"column": "label", "feature": "image/class/label", "kind": "int64"},
        {"column": "price", "feature": "price", "kind": "float"},
        {"column": "caption", "feature": "caption", "kind": "text"},
        {"column": "tags", "feature": "tags", "kind": "text"},
    ]
    assert verify_output(str(tmp_path / "output")).holds


def test_csv_and_parquet_agree(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    """Of the same table, the same records: the types of the one are guessed, and of the other known."""
    lines = [f'{row["uri"]},{"" if row["label"] is None else row["label"]},"{row["caption"] or ""}"' for row in ROWS]
    (tmp_path / "m.csv").write_text("uri,label,caption\r\n" + "\r\n".join(lines))
    table = pa.Table.from_pylist([{name: row[name] for name in ("uri", "label", "caption")} for row in ROWS])
    pq.write_table(table, tmp_path / "m.parquet")
    found = [
        records(run_pipeline(input=str(tmp_path / name), columns="*", run_id=name)) for name in ("m.csv", "m.parquet")
    ]
    assert found[0] == found[1]
    assert found[0]["07.jpg"]["label"] == [1]


def test_all_columns_of_several_manifests(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    (tmp_path / "a.csv").write_text("uri,one\nimages/00.jpg,1\n")
    (tmp_path / "b.csv").write_text("uri,two\nimages/01.jpg,2.5\n")
    report = run_pipeline(input=[str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], columns="*")
    found = records(report)
    assert (found["00.jpg"]["one"], found["01.jpg"]["two"]) == ([1], [2.5])
    assert "two" not in found["00.jpg"]


def test_the_folder_is_the_label(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    found = records(run_pipeline(input=str(images), label_from="folder"))
    assert {tuple(values["image/class/text"]) for values in found.values()} == {(b"images",)}


def night(run_pipeline: Run, tmp_path: Path, images: Path, run_id: str, rows: list[dict[str, Any]]) -> RunReport:
    given = [str(images), jsonl(tmp_path / f"{run_id}.jsonl", rows)]
    return run_pipeline(input=given, columns="label,caption", run_id=run_id, incremental=True)


def vectors(report: RunReport) -> dict[str, bytes]:
    return {Path(uri).name: vector.tobytes() for uri, vector in zip(*run_vectors(report.folder), strict=True)}


def test_columns_alone_change(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    first = run_pipeline(input=str(images), run_id="night-0", incremental=True)  # and carries no columns at all
    for path in images.iterdir():  # what would be fetched from now on is no image, of the same version
        stat = path.stat()
        path.write_bytes(bytes(stat.st_size))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    labelled = night(run_pipeline, tmp_path, images, "night-1", ROWS)
    counts = labelled.manifest["counts"]
    assert (counts["listed"], counts["embedded"], counts["columns_changed"], counts["unchanged"]) == (12, 12, 12, 0)
    assert vectors(labelled) == vectors(first)
    assert records(labelled)["04.jpg"]["label"] == [1]

    quiet = night(run_pipeline, tmp_path, images, "night-2", ROWS)
    assert (quiet.manifest["counts"]["unchanged"], quiet.manifest["counts"]["embedded"]) == (12, 0)

    changed = [{**row, "label": 9} if i in (2, 7) else row for i, row in enumerate(ROWS)]
    third = night(run_pipeline, tmp_path, images, "night-3", changed)
    counts = third.manifest["counts"]
    assert (counts["embedded"], counts["columns_changed"], counts["unchanged"]) == (2, 2, 10)
    assert {name: values["label"] for name, values in records(third).items()} == {"02.jpg": [9], "07.jpg": [9]}
    assert vectors(third) == {name: vectors(first)[name] for name in ("02.jpg", "07.jpg")}

    compacted = compact(CompactConfig(str(tmp_path / "output"), "compacted", 1 << 20, "none", {}))
    assert vectors(compacted) == vectors(first)
    carried = {Path(row["uri"]).name: json.loads(row["columns"])["label"] for row in ledger(compacted)}
    assert carried == {f"{i:02}.jpg": row["label"] for i, row in enumerate(changed)}
    assert compacted.manifest["columns"] == third.manifest["columns"]
    again = night(run_pipeline, tmp_path, images, "night-4", changed)
    assert again.manifest["counts"]["unchanged"] == 12
    assert verify_output(str(tmp_path / "output")).holds


@pytest.mark.parametrize(
    ("extension", "columns"), [("csv", ["uri,label"]), ("txt", ["uri"]), ("parquet", ["uri", "*"])]
)
def test_the_manifests_own_text_is_carried_when_its_column_is_named(
    extension: str, columns: list[str], tmp_path: Path, images: Path, run_pipeline: Run
) -> None:
    """By which the rows of the manifest are found again; and the names of its files stay as they are."""
    texts = [row["uri"] for row in ROWS]
    manifest = tmp_path / f"m.{extension}"
    if extension == "parquet":
        pq.write_table(pa.Table.from_pylist(ROWS), manifest)
    elif extension == "csv":
        manifest.write_text("uri,label\n" + "".join(f"{text},1\n" for text in texts))
    else:
        manifest.write_text("\n".join(texts))
    report = run_pipeline(input=[str(manifest), str(images)], columns=columns, run_id="r", incremental=True)
    assert report.manifest["counts"]["embedded"] == 12
    found = records(report)
    assert {name: values["image/source"] for name, values in found.items()} == {
        Path(text).name: [text.encode()] for text in texts
    }
    assert {values["image/uri"][0].decode() for values in found.values()} == {str(path) for path in images.iterdir()}
    again = run_pipeline(input=[str(manifest), str(images)], columns=columns, run_id="s", incremental=True)
    assert again.manifest["counts"]["unchanged"] == 12
    table = load_features(str(tmp_path / "output"), columns=["image/source"])
    assert sorted(table.columns["image/source"]) == texts


def test_all_columns_are_without_the_one_of_names(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    report = run_pipeline(input=jsonl(tmp_path / "m.jsonl", ROWS), columns=["*"])
    assert "image/source" not in records(report)["04.jpg"]
    assert "uri" not in records(report)["04.jpg"]


def test_rows_that_differ_are_named(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    rows = [*ROWS, {**ROWS[0], "label": 7}, ROWS[1]]
    report = night(run_pipeline, tmp_path, images, "night-1", rows)
    assert report.manifest["counts"]["failed_by_error"] == {"ConflictingColumns": 1}
    (letter,) = read_dead_letters(report.folder + "/dead_letters-00000-of-00001.jsonl")
    assert (Path(letter["uri"]).name, letter["stage"]) == ("00.jpg", "list")
    assert '"label":0' in letter["message"]
    assert '"label":7' in letter["message"]
    report = night(run_pipeline, tmp_path, images, "night-2", ROWS)  # mended
    assert (report.manifest["counts"]["embedded"], report.manifest["counts"]["unchanged"]) == (1, 11)


def test_copies_have_columns_of_their_own(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    """Two names of one content, told by the manifest's MD5s."""
    (images / "01.jpg").write_bytes((images / "00.jpg").read_bytes())
    md5 = hashlib.md5((images / "00.jpg").read_bytes(), usedforsecurity=False).hexdigest()
    rows = [{"uri": f"images/0{i}.jpg", "md5": md5, "label": i} for i in range(2)]
    report = run_pipeline(input=jsonl(tmp_path / "m.jsonl", rows), columns="label", md5_column="md5", dedup="listing")
    assert report.manifest["counts"]["duplicates"] == 1
    found = records(report)
    assert [found[f"0{i}.jpg"]["label"] for i in range(2)] == [[0], [1]]


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        (ROWS, "labl", "--columns: no input has a column 'labl'; there are caption, label, price, tags"),
        (ROWS, "label,price=label", "--columns: .*: 'label' and 'price' are both to be the feature 'label'"),
        ([*ROWS, *ROWS * 90, {"uri": "a", "label": "x"}], "label",
         r"line 1093: its column 'label' holds 'x', which is no int64; --columns label:text takes it"),
        ([*ROWS, *ROWS * 90, {"uri": "a", "new": "x"}], "*",
         "line 1093 has the key 'new', which no row at the beginning has; name it in --columns"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    tmp_path: Path, images: Path, run_pipeline: Run, rows: list[dict[str, Any]], columns: str, message: str
) -> None:
    with pytest.raises(Exception, match=message) as caught:
        run_pipeline(input=jsonl(tmp_path / "m.jsonl", rows), columns=columns)
    assert "\n" not in str(caught.value).strip() or not isinstance(caught.value, ListingError)
    assert not (tmp_path / "output" / "runs").exists()


def test_kinds_that_differ_are_refused(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    inputs = [
        jsonl(tmp_path / "a.jsonl", [{"uri": "images/00.jpg", "label": 1}]),
        jsonl(tmp_path / "b.jsonl", [{"uri": "images/01.jpg", "label": "cat"}]),
    ]
    with pytest.raises(
        ListingError, match="--columns: column 'label' holds int64 here, and there text; --columns label:text"
    ):
        run_pipeline(input=inputs, columns="label")
    found = records(run_pipeline(input=inputs, columns="label:text"))
    assert (found["00.jpg"]["label"], found["01.jpg"]["label"]) == ([b"1"], [b"cat"])


def test_kinds_stay_from_night_to_night(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    night(run_pipeline, tmp_path, images, "night-1", ROWS)
    night(run_pipeline, tmp_path, images, "night-2", [{**ROWS[0], "label": None}])
    message = "'label' is int64 in run night-2 of the output, and would be text; --columns label:int64 keeps it so"
    with pytest.raises(RunError, match=message):
        night(run_pipeline, tmp_path, images, "night-3", [{**row, "label": "a"} for row in ROWS])


@pytest.mark.parametrize("columns", ["a=image/uri", "=b", "a,,b", ""])
def test_names_that_are_none_are_refused_by_the_option(run_pipeline: Run, columns: str) -> None:
    with pytest.raises(ConfigError, match=r"--columns: .* is not allowed: "):
        run_pipeline(input="/nowhere", columns=columns)


def test_ledgers_of_earlier_builds_are_read(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    """Those have no columns for what is carried: all of it has changed."""
    import google_crc32c

    first = run_pipeline(input=str(images), run_id="night-0")
    manifest = json.loads(Path(first.folder, "run.json").read_text())
    for entry in manifest["ledgers"]:
        path = Path(first.folder, entry["path"])
        pq.write_table(pq.read_table(path).drop_columns(["columns", "columns_digest"]), path)
        data = path.read_bytes()
        entry |= {"bytes": len(data), "crc32c": google_crc32c.Checksum(data).digest().hex()}
    del manifest["columns"], manifest["counts"]["columns_changed"]
    Path(first.folder, "run.json").write_text(json.dumps(manifest))
    assert verify_output(str(tmp_path / "output")).holds
    second = night(run_pipeline, tmp_path, images, "night-1", ROWS)
    assert second.manifest["counts"]["columns_changed"] == 12
    np.testing.assert_equal(vectors(second), vectors(first))
