"""verify finds each kind of damage and names the file and the record."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.errors import OutputError
from pipeline.options.config import make_config
from pipeline.outputs.dataset import read_shard, texts_of, vectors_of
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from tests.conftest import photo
from transforms.elements import ImageInfo, ImageObject
from transforms.encoding import encode_examples
from transforms.records.tfrecord import frame

SHARD = "features-00001-of-00003.tfrecord"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Path:
    """An output with one run: three shards of four records, two dead letters."""
    folder = tmp_path_factory.mktemp("sound")
    (folder / "images").mkdir()
    for i in range(12):
        photo(40, 30, i).save(folder / f"images/{i:02}.png")
    for name in ("x.png", "y.png"):
        (folder / f"images/{name}").write_text("no image")
    options = {"input": str(folder / "images"), "output": str(folder / "output"), "model": tiny_module}
    report = run(make_config({**options, "run_id": "r", "shard_size": 1200}, []))
    assert report is not None
    assert [shard["records"] for shard in report.manifest["shards"]] == [4, 4, 4]
    return folder / "output"


@pytest.fixture
def output(sound: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    shutil.copytree(sound, tmp_path / "output")
    return tmp_path / "output"


def problems(output: Path) -> list[tuple[str, str]]:
    result = verify_output(str(output))
    (run_result,) = result.runs
    assert result.holds == (not run_result.problems)
    assert json.loads(result.as_json())["holds"] == result.holds
    return [(problem.file, problem.message) for problem in run_result.problems]


def test_a_sound_run_holds(output: Path) -> None:
    assert problems(output) == []
    assert verify_output(str(output)).as_text() == "run r: 12 records, 2 dead letters: holds"


def test_a_damaged_byte_names_its_shard_and_record(output: Path) -> None:
    shard = output / "runs/r" / SHARD
    data = bytearray(shard.read_bytes())
    start = sum(len(frame(b"x" * length)) for length in record_lengths(shard)[:2])
    data[start + 40] ^= 1
    shard.write_bytes(data)
    ((file, message),) = problems(output)  # one fault, one sentence
    assert file == SHARD
    assert message.startswith(f"record 2 at byte {start}: the checksum of its data does not hold; CRC32C is ")
    first, *_ = verify_output(str(output)).as_text().splitlines()
    assert first == "run r: 8 of 12 records, 2 dead letters: 1 problem"


def record_lengths(shard: Path) -> list[int]:
    import tensorflow as tf

    return [len(record.numpy()) for record in tf.data.TFRecordDataset(str(shard))]


def edit_manifest(output: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = output / "runs/r/run.json"
    manifest = json.loads(path.read_text())
    edit(manifest)
    path.write_text(json.dumps(manifest))


def reseal(output: Path, name: str) -> None:
    """Makes the manifest agree with a changed file's bytes, so that only deeper checks can tell."""

    def edit(manifest: dict[str, Any]) -> None:
        (entry,) = (e for kind in ("shards", "ledgers", "dead_letters") for e in manifest[kind] if e["path"] == name)
        path = output / "runs/r" / name
        entry.update(bytes=path.stat().st_size, crc32c=google_crc32c.Checksum(path.read_bytes()).digest().hex())

    edit_manifest(output, edit)


def rewrite_shard(output: Path, edit: Callable[[list[str], np.ndarray], tuple[list[str], np.ndarray]]) -> None:
    shard = output / "runs/r" / SHARD
    (batch,) = read_shard(str(shard))
    uris, vectors = edit(texts_of(batch, "image/uri"), vectors_of(batch).copy())
    infos = [ImageInfo(ImageObject(uri, 1, "v"), "PNG", "0" * 64, 40, 30) for uri in uris]
    shard.write_bytes(b"".join(frame(example) for example in encode_examples(infos, vectors)))
    reseal(output, SHARD)


def test_a_vector_that_is_not_finite_is_named(output: Path) -> None:
    def edit(uris: list[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
        vectors[3, 5] = np.nan
        return uris, vectors

    rewrite_shard(output, edit)
    assert problems(output) == [(SHARD, "record 3: a vector with values that are not finite")]


def test_a_vector_of_another_length_is_named(output: Path) -> None:
    rewrite_shard(output, lambda uris, vectors: (uris, vectors[:, :5]))
    assert problems(output) == [(SHARD, f"record {i}: a vector of 5 values, not 8") for i in range(4)]


def test_a_doubled_image_is_named(output: Path) -> None:
    rewrite_shard(output, lambda uris, vectors: ([uris[0], *uris[:3]], vectors))
    found = problems(output)
    assert any(
        file == SHARD and message.startswith("record 1: ") and "is in record 0 of" in message for file, message in found
    )
    assert any("it is in no shard" in message for _, message in found)


def test_a_lost_record_is_named(output: Path) -> None:
    rewrite_shard(output, lambda uris, vectors: (uris[:3], vectors[:3]))
    found = problems(output)
    assert (SHARD, "3 records, the manifest says 4") in found
    assert ("run.json", "12 embedded, 11 records in shards") in found


@pytest.mark.parametrize("name", [SHARD, "ledger-00000-of-00004.parquet", "dead_letters-00000-of-00001.jsonl"])
def test_missing_cut_and_flipped_files_are_named(output: Path, name: str) -> None:
    path = output / "runs/r" / name
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    for damage, said in (
        (lambda: path.write_bytes(data[:-1]), f"{len(data) - 1:,} bytes, the manifest says {len(data):,}"),
        (lambda: path.write_bytes(data[:-1] + bytes([data[-1] ^ 1])), "CRC32C is "),
        (path.unlink, "the file is missing"),
    ):
        damage()
        ((file, message),) = problems(output)
        assert file == name
        assert said in message


def test_a_stray_shard_is_named(output: Path) -> None:
    (output / "runs/r/features-00003-of-00004.tfrecord").write_bytes(b"")
    ((file, message),) = problems(output)
    assert file == "features-00003-of-00004.tfrecord"
    assert "does not know this file" in message


def test_a_stray_shard_in_a_folder_is_named(output: Path) -> None:
    (output / "runs/r/sub").mkdir()
    (output / "runs/r/sub" / SHARD).write_bytes(b"")
    assert [file for file, _ in problems(output)] == [f"sub/{SHARD}"]


def test_a_ledger_that_lies_about_a_failure_is_named(output: Path) -> None:
    name = "ledger-00003-of-00004.parquet"
    path = output / "runs/r" / name
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["error"], rows[1]["row"] = "NotFound", 99
    pq.write_table(type(table).from_pylist(rows, table.schema), path)
    reseal(output, name)
    assert [(file, message[:6]) for file, message in problems(output)] == [(name, "row 0:"), (name, "row 1:")]


def test_a_manifest_of_odd_bytes_is_named(output: Path) -> None:
    (output / "runs/r/run.json").write_bytes(b"\xff{}")
    assert [file for file, _ in problems(output)] == ["run.json"]


def test_a_ledger_that_lies_is_named(output: Path) -> None:
    name = "ledger-00001-of-00004.parquet"
    path = output / "runs/r" / name
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[0]["row"], rows[1]["row"] = rows[1]["row"], rows[0]["row"]
    rows[2]["uri"] = "/not/an/image.png"
    pq.write_table(type(table).from_pylist(rows, table.schema), path)
    reseal(output, name)
    found = problems(output)
    assert any(file == name and message.startswith("row 0: ") for file, message in found)
    assert any(file == name and "row 2: /not/an/image.png should be record 2" in message for file, message in found)
    assert any("has a record or a dead letter but no ledger row" in message for _, message in found)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        ("listed", "listed is not unchanged + failed_before + outside + over_limit + embedded + failed"),
        ("embedded", "13 embedded, 12 records in shards"),
        ("failed", "3 failed, 2 dead letters"),
    ],
)
def test_counts_that_do_not_add_up_are_named(output: Path, count: str, message: str) -> None:
    edit_manifest(output, lambda manifest: manifest["counts"].update({count: manifest["counts"][count] + 1}))
    assert ("run.json", message) in problems(output)


def test_dead_letters_of_other_errors_are_named(output: Path) -> None:
    edit_manifest(output, lambda manifest: manifest["counts"].update(failed_by_error={"NotFound": 2}))
    assert problems(output) == [("run.json", "failed_by_error differs from the dead letters: {'NotAnImage': 2}")]


def test_manifests_of_other_programs_are_named(output: Path) -> None:
    edit_manifest(output, lambda manifest: manifest.update(schema_version=99))
    assert problems(output) == [("run.json", "schema_version 99, but this program knows 1; take a later one")]
    (output / "runs/r/run.json").write_text("{")
    ((file, message),) = problems(output)
    assert (file, message.startswith("not JSON (JSONDecodeError)")) == ("run.json", True)


def test_outputs_without_runs_are_refused(output: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no published run"):
        verify_output(str(tmp_path / "nothing"))
    with pytest.raises(OutputError, match="no published run 's'"):
        verify_output(str(output), "s")
    (output / "runs/r/_SUCCESS").unlink()
    with pytest.raises(OutputError, match="no published run"):
        verify_output(str(output))


def test_junk_is_blamed_on_its_own_file(output: Path) -> None:
    for name in ("ledger-00000-of-00004.parquet", "dead_letters-00000-of-00001.jsonl"):
        (output / "runs/r" / name).write_bytes(b"junk")
        reseal(output, name)
        assert any(file == name and message.startswith("cannot be read") for file, message in problems(output))


def test_a_renamed_run_is_named(output: Path) -> None:
    (output / "runs/r").rename(output / "runs/s")
    assert problems(output) == [("run.json", "it is of the run 'r'")]


def test_reasons_are_those_of_the_ledgers(two_nights: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(two_nights / "output", tmp_path / "output"))
    path = output / "runs/night-2/run.json"
    manifest = json.loads(path.read_text())
    counts = manifest["counts"]
    assert [counts[name] for name in ("new", "changed", "retried", "repeated", "columns_changed")] == [1, 1, 0, 0, 1]
    path.write_text(json.dumps(manifest | {"counts": counts | {"new": 2, "changed": 0}}))
    (problem,) = verify_output(str(output), "night-2").runs[0].problems
    assert (problem.file, problem.message[:27]) == ("run.json", "the ledgers have other reas")
    told = {name: count for name, count in counts.items() if name not in ("new", "changed", "retried", "repeated")}
    path.write_text(json.dumps(manifest | {"counts": told}))  # as earlier versions told them
    assert verify_output(str(output), "night-2").holds
