"""Exports, each read by the programs that it is made for, and held against the records as TensorFlow has them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import load_features
from pipeline.errors import ConfigError, OutputError, RunError
from pipeline.options.config import ExportConfig
from pipeline.outputs.exports import PublishedExport, current_export
from pipeline.runs.export import export
from tests.conftest import TINY_FEATURES, make_third_night, make_two_nights
from tests.pipeline.commands.typed import command
from tests.reading import newest_records, records
from transforms.exports import faiss, npy, tensorboard

pytestmark = pytest.mark.exports
COLUMNS = ("image/class/label", "price", "caption", "tags", "scores")


def make_config(output: str, to: str, format: str, **options: Any) -> ExportConfig:
    given = {"run_id": "", "columns": None, "complete": False, "storage_options": {}, **options}
    return ExportConfig(output=output, to=to, format=format, **given)


def make_export(output: Path, to: Path, format: str, **options: Any) -> PublishedExport:
    return export(make_config(str(output), str(to), format, **options))


@pytest.fixture(scope="module")
def exported(two_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of the export of a format; each is made once."""
    made: dict[str, Path] = {}

    def of(format: str) -> Path:
        if format not in made:
            to = tmp_path_factory.mktemp(format)
            made[format] = Path(make_export(two_nights / "output", to, format).folder)
        return made[format]

    return of


def check(rows: list[dict[str, Any]], output: Path, *, keep_deleted: bool = False) -> None:
    """That rows of uri, version, columns and embedding are the newest records of the images that are not gone."""
    wanted = newest_records(output, keep_deleted=keep_deleted)
    assert len(rows) == len(wanted)
    for row in rows:
        record = wanted.pop(Path(row["uri"]).name)
        assert np.asarray(row["embedding"], np.float32).tobytes() == as_float32(record["image/embedding"])
        assert row["version"].encode() == record["image/version"][0]
        for column in COLUMNS:
            assert as_list(row[column]) == record.get(column, [])


def as_float32(values: list[float]) -> bytes:
    return np.asarray(values, np.float32).tobytes()


def as_list(value: Any) -> list[Any]:
    nothing = value is None or (isinstance(value, float) and np.isnan(value))  # which pandas has for None
    many = [] if nothing else list(value) if isinstance(value, list | np.ndarray) else [value]
    return [part.encode() if isinstance(part, str) else part for part in many]


def by_pyarrow(folder: Path) -> list[dict[str, Any]]:
    tables = [pq.read_table(path) for path in folder.glob("*.parquet")]
    assert {table.schema.field("embedding").type.list_size for table in tables} == {TINY_FEATURES}
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist()
    return rows


def test_images_that_are_gone_are_exported_when_asked(two_nights: Path, tmp_path: Path) -> None:
    output = two_nights / "output"
    first, kept, again = (
        make_export(output, tmp_path, "parquet", keep_deleted=asked) for asked in (False, True, False)
    )
    check(by_pyarrow(Path(kept.folder)), output, keep_deleted=True)
    assert (len(by_pyarrow(Path(first.folder))), len(by_pyarrow(Path(kept.folder)))) == (12, 13)
    assert first.folder == again.folder != kept.folder


def by_duckdb(folder: Path) -> list[dict[str, Any]]:
    import duckdb

    with duckdb.connect() as connection:
        found = connection.execute("SELECT * FROM read_parquet(?)", [f"{folder}/*.parquet"])
        names = [column[0] for column in found.description]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def by_pandas(folder: Path) -> list[dict[str, Any]]:
    import pandas

    rows: list[dict[str, Any]] = pandas.read_parquet(str(folder), filters=None).to_dict("records")  # type: ignore[assignment]
    return rows


def by_datasets(folder: Path) -> list[dict[str, Any]]:
    import datasets

    found = datasets.load_dataset(
        "parquet", data_files=f"{folder}/*.parquet", split="train", cache_dir=str(folder.parent / "cache")
    )
    return list(found)


def by_lancedb(folder: Path) -> list[dict[str, Any]]:
    import lancedb

    database = lancedb.connect(str(folder.parent / "lance"))
    table = database.create_table("vectors", data=pa.concat_tables(pq.read_table(p) for p in folder.glob("*.parquet")))
    rows: list[dict[str, Any]] = table.to_arrow().to_pylist()
    first = rows[0]
    nearest = table.search(first["embedding"], vector_column_name="embedding").distance_type("cosine").limit(1)
    assert [each["uri"] for each in nearest.to_list()] == [first["uri"]]
    return rows


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("read", [by_pyarrow, by_duckdb, by_pandas, by_datasets, by_lancedb])
def test_parquet_is_read_by(
    read: Callable[[Path], list[dict[str, Any]]], exported: Callable[[str], Path], two_nights: Path
) -> None:
    folder = exported("parquet")
    check(read(folder), two_nights / "output")


def test_a_parquet_file_is_made_for_random_reads(exported: Callable[[str], Path]) -> None:
    for path in exported("parquet").glob("*.parquet"):
        group = pq.ParquetFile(path).metadata.row_group(0)
        leaves = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
        vectors = leaves["embedding.list.element"]
        assert (vectors.compression, vectors.has_dictionary_page, vectors.statistics) == ("UNCOMPRESSED", False, None)
        assert leaves["uri"].compression == "ZSTD"
        assert leaves["uri"].has_offset_index


def test_numpy_maps_the_vectors(exported: Callable[[str], Path], two_nights: Path) -> None:
    rows = []
    for path in exported("npy").glob("*.npy"):
        vectors = np.load(path, mmap_mode="r")
        assert isinstance(vectors, np.memmap)
        assert vectors.dtype == np.float32
        others = pq.read_table(path.with_suffix(".uris.parquet")).to_pylist()
        rows += [{**row, "embedding": vector} for row, vector in zip(others, vectors, strict=True)]
    check(rows, two_nights / "output")


def test_faiss_finds_by_cosine(exported: Callable[[str], Path], two_nights: Path) -> None:
    import faiss as library

    folder = exported("faiss")
    index = library.read_index(str(folder / "index.faiss"))
    rows = pq.read_table(folder / "index.uris.parquet").to_pylist()
    wanted = newest_records(two_nights / "output")
    embeddings = np.float32([wanted[Path(row["uri"]).name]["image/embedding"] for row in rows])
    check([{**row, "embedding": vector} for row, vector in zip(rows, embeddings, strict=True)], two_nights / "output")
    lengths = np.sqrt((embeddings.astype(np.float64) ** 2).sum(axis=1))
    directions = (embeddings / lengths[:, None]).astype(np.float32)
    np.testing.assert_array_equal(index.reconstruct_n(0, len(rows)), directions)
    cosines, neighbours = index.search(directions, 3)
    every = directions.astype(np.float64) @ directions.T
    np.testing.assert_array_equal(neighbours, np.argsort(-every, axis=1, kind="stable")[:, :3])
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :3], rtol=1e-5)


def test_many_vectors_make_lists(two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss as library

    monkeypatch.setattr(faiss, "FLAT", 5)
    monkeypatch.setattr(faiss, "LISTS", 1)
    monkeypatch.setattr(npy, "BLOCK", 3)
    folder = make_export(two_nights / "output", tmp_path / "to", "faiss").folder
    index = library.read_index(f"{folder}/index.faiss")
    assert isinstance(index, library.IndexIVFFlat)
    assert (index.ntotal, index.nlist, index.nprobe) == (12, 3, 64)
    uris = [row["uri"] for row in pq.read_table(f"{folder}/index.uris.parquet").to_pylist()]
    found = load_features(str(two_nights / "output"), columns=())
    _, neighbours = index.search(faiss.unit(found.vectors), 1)
    assert [uris[row] for row in neighbours[:, 0]] == found.uris


def test_without_faiss_a_sentence_says_what_brings_it(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.runs.export.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"--format faiss: .* `pip install 'embed-images\[faiss\]'` brings it"):
        make_export(two_nights / "output", tmp_path / "to", "faiss")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning", "ignore::UserWarning")
def test_tensorboard_serves_the_projector(exported: Callable[[str], Path], two_nights: Path) -> None:
    folder = exported("tensorboard")
    with tensorboard_of(folder) as ask:
        (embedding,) = json.loads(ask("info?run=."))["embeddings"]
        assert (embedding["tensorName"], embedding["tensorShape"]) == ("image/embedding", [12, TINY_FEATURES])
        tensors = np.frombuffer(ask("tensor?run=.&name=image/embedding"), np.float32).reshape(12, TINY_FEATURES)
        header, *lines = ask("metadata?run=.&name=image/embedding").decode().splitlines()
        sprite = np.asarray(Image.open(io.BytesIO(ask("sprite_image?run=.&name=image/embedding"))))
    assert header.split("\t") == ["uri", "version", "image/class/label", "caption", "price", "scores", "tags"]
    wanted = newest_records(two_nights / "output")
    side = tensorboard.PICTURE
    assert sprite.shape == (4 * side, 4 * side, 3)
    for place, (line, vector) in enumerate(zip(lines, tensors, strict=True)):
        uri, _, label, caption, *_ = line.split("\t")
        record = wanted.pop(Path(uri).name)
        assert vector.tobytes() == as_float32(record["image/embedding"])
        assert (label, caption) == (str(record["image/class/label"][0]), record["caption"][0].decode())
        top, left = place // 4 * side, place % 4 * side
        shown = sprite[top : top + side, left : left + side].astype(np.int16)
        picture = Image.open(uri).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
        assert np.abs(shown - np.asarray(picture)).mean() < 3  # of two resamplings
    assert not wanted


@contextmanager
def tensorboard_of(folder: Path) -> Iterator[Callable[[str], bytes]]:
    """A TensorBoard over a folder, asked for routes of its Projector."""
    program = Path(sys.executable).with_name("tensorboard")
    given = [program, "--logdir", folder, "--port=0", "--host=127.0.0.1", "--load_fast=false"]
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONWARNINGS": ""}) as server:
        assert server.stderr
        try:
            lines = iter(server.stderr.readline, "")
            address = next(found[0] for line in lines if (found := re.findall(r"http://127\.0\.0\.1:\d+", line)))
            yield lambda route: urllib.request.urlopen(f"{address}/data/plugin/projector/{route}", timeout=60).read()  # noqa: S310
        finally:
            server.terminate()


def test_of_many_points_the_same_ones_are_shown(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "MOST_POINTS", 5)
    monkeypatch.setattr(npy, "BLOCK", 2)
    found = Path(make_export(two_nights / "output", tmp_path / "to", "tensorboard").folder)
    shown = [line.split("\t")[0] for line in (found / "metadata.tsv").read_text().splitlines()[1:]]
    every = load_features(str(two_nights / "output"))
    least = sorted(every.uris, key=lambda uri: hashlib.blake2b(uri.encode(), digest_size=16).digest()[8:])[:5]
    assert sorted(shown) == sorted(least)
    vectors = dict(zip(every.uris, every.vectors, strict=True))
    tensors = np.fromfile(found / "tensors.bytes", np.float32).reshape(5, TINY_FEATURES)
    np.testing.assert_array_equal(tensors, [vectors[uri] for uri in shown])


def test_an_image_that_is_gone_is_a_grey_square(tmp_path: Path, nights: Callable[[str], None]) -> None:
    (tmp_path / "images/07.jpg").unlink()
    found = Path(make_export(tmp_path / "output", tmp_path / "to", "tensorboard").folder)
    shown = [line.split("\t")[0] for line in (found / "metadata.tsv").read_text().splitlines()[1:]]
    place = shown.index(str(tmp_path / "images/07.jpg"))
    side = tensorboard.PICTURE
    sprite = np.asarray(Image.open(found / "sprite.png"))
    square = sprite[place // 4 * side :][:side, place % 4 * side :][:, :side]
    assert set(square.ravel().tolist()) == {tensorboard.GREY}


def datapoints(folder: Path) -> dict[str, dict[str, Any]]:
    """By id, the lines of an export for Vertex AI Vector Search, and whatever else is in it refused."""
    lines = [json.loads(line) for path in folder.glob("*.json") for line in path.read_text().splitlines()]
    assert all(line.keys() <= {"id", "embedding", "restricts", "numeric_restricts"} for line in lines)
    assert len({line["id"] for line in lines}) == len(lines)
    return {line["id"]: line for line in lines}


def gone_in(folder: Path) -> set[str]:
    return {line for path in folder.glob("delete/*") for line in path.read_text().splitlines()}


def test_vertex_has_all_that_is_said_of_an_image(exported: Callable[[str], Path], two_nights: Path) -> None:
    rows = []
    versions = {r["image/uri"][0].decode(): r["image/version"][0].decode() for r in all_newest(two_nights / "output")}
    for uri, point in datapoints(exported("vertex")).items():
        allowed = {each["namespace"]: each["allow"] for each in point.get("restricts", [])}
        numbers: dict[str, list[Any]] = {}
        for each in point.get("numeric_restricts", []):
            (value,) = (each[name] for name in ("value_int", "value_float") if name in each)
            numbers.setdefault(each["namespace"], []).append(value)
        row = {name: (allowed | numbers).get(name) for name in COLUMNS}
        rows.append({"uri": uri, "version": versions[uri], "embedding": point["embedding"], **row})
    check(rows, two_nights / "output")


def all_newest(output: Path) -> Iterator[dict[str, list[Any]]]:
    yield from newest_records(output).values()


def test_bytes_are_told_to_vertex_as_base64(tmp_path: Path, images: Path, run_pipeline: Callable[..., Any]) -> None:
    rows = [{"uri": "images/00.jpg", "code": b"\xff\x00"}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "m.parquet")
    run_pipeline(input=str(tmp_path / "m.parquet"), columns="code")
    found = make_export(tmp_path / "output", tmp_path / "to", "vertex")
    (point,) = datapoints(Path(found.folder)).values()
    assert point["restricts"] == [{"namespace": "code", "allow": [base64.b64encode(b"\xff\x00").decode()]}]


@pytest.fixture
def nights(tmp_path: Path, tiny_module: str) -> Callable[[str], None]:
    """Two nights in `tmp_path`, and a function that makes a third."""
    make_two_nights(tmp_path, tiny_module)

    def third(run_id: str) -> None:
        make_third_night(tmp_path, tiny_module, run_id)

    return third


def contents(folder: str | Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize("format", ["parquet", "npy"])
def test_the_next_export_takes_over_what_is_the_same(
    tmp_path: Path, nights: Callable[[str], None], format: str
) -> None:
    first = make_export(tmp_path / "output", tmp_path / "to", format)
    before = contents(first.folder)
    nights("night-3")
    second = make_export(tmp_path / "output", tmp_path / "to", format)
    assert contents(first.folder) == before
    assert second.manifest["counts"]["files_reused"] > 0
    for entry in second.manifest["files"]:
        old, new = Path(first.folder, entry["path"]), Path(second.folder, entry["path"])
        assert not old.exists() or old.samefile(new)
    fresh = make_export(tmp_path / "output", tmp_path / "fresh", format)
    assert fresh.manifest["counts"]["files_reused"] == 0
    assert {name: data for name, data in contents(fresh.folder).items() if name != "_EXPORT"} == {
        name: data for name, data in contents(second.folder).items() if name != "_EXPORT"
    }
    names = {Path(row["uri"]).name for row in rows_of(second, format)}
    assert names == {f"{i:02}.jpg" for i in range(14) if i not in (1, 4)}
    assert current_export(str(tmp_path / "to")) == second


def rows_of(published: PublishedExport, format: str) -> list[dict[str, Any]]:
    ending = {"parquet": "*.parquet", "npy": "*.uris.parquet"}[format]
    return [row for path in Path(published.folder).glob(ending) for row in pq.read_table(path).to_pylist()]


def test_changes_after_changes_are_all_there_is(tmp_path: Path, nights: Callable[[str], None]) -> None:
    """What an index holds that was given one export after the other."""
    index: dict[str, Any] = {}

    def give(published: PublishedExport) -> tuple[set[str], set[str]]:
        changed, gone = datapoints(Path(published.folder)), gone_in(Path(published.folder))
        for uri in gone:
            del index[uri]
        index.update(changed)
        return {Path(uri).name for uri in changed}, {Path(uri).name for uri in gone}

    give(make_export(tmp_path / "output", tmp_path / "to", "vertex"))
    nights("night-3")
    second = make_export(tmp_path / "output", tmp_path / "to", "vertex")
    assert second.by_changes
    assert give(second) == ({"00.jpg", "13.jpg", *columns_changed(tmp_path)}, {"01.jpg"})
    again = make_export(tmp_path / "output", tmp_path / "to", "vertex")
    assert again == second
    complete = make_export(tmp_path / "output", tmp_path / "to", "vertex", complete=True)
    assert not complete.by_changes
    assert datapoints(Path(complete.folder)) == index
    assert gone_in(Path(complete.folder)) == set()


def columns_changed(folder: Path) -> set[str]:
    """Images of the third night whose records were written anew for their columns."""
    return set(records(folder / "output", "night-3")) - {"00.jpg", "13.jpg"}


def test_all_is_exported_when_the_runs_of_then_are_gone(tmp_path: Path, nights: Callable[[str], None]) -> None:
    make_export(tmp_path / "output", tmp_path / "to", "vertex")
    nights("night-3")
    shutil.rmtree(tmp_path / "output/runs/night-1")
    second = make_export(tmp_path / "output", tmp_path / "to", "vertex")
    assert not second.by_changes


def test_one_run_and_some_columns(two_nights: Path, tmp_path: Path) -> None:
    found = make_export(
        two_nights / "output", tmp_path / "to", "parquet", run_id="night-2", columns=["caption", "image/width"]
    )
    rows = rows_of(found, "parquet")
    assert list(rows[0]) == ["uri", "version", "caption", "image/width", "embedding"]
    wanted = records(two_nights / "output", "night-2")
    assert {Path(row["uri"]).name: row["image/width"] for row in rows} == {
        name: record["image/width"][0] for name, record in wanted.items()
    }


def test_the_command_says_where(two_nights: Path, tmp_path: Path) -> None:
    given = ["export", f"{two_nights}/output", "--to", f"{tmp_path}/to", "--format"]
    result = command(*given, "parquet")
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    (folder,) = (path for path in (tmp_path / "to").iterdir() if path.is_dir())
    assert result.stdout == f"12 vectors, in {folder}\n"
    assert (tmp_path / "to/CURRENT").read_text() == folder.name
    again = command(*given, "parquet")
    assert "is exported already: nothing to do" in again.stderr
    refused = command(*given, "csv")
    allowed = "parquet, npy, faiss, tensorboard, vertex, qdrant"
    assert (refused.returncode, refused.stderr) == (
        2, f"embed-images: --format: 'csv' is not allowed: give one of {allowed}\n"
    )  # fmt: skip


def test_what_cannot_be_exported_is_refused(two_nights: Path, tmp_path: Path) -> None:
    output = two_nights / "output"
    with pytest.raises(RunError, match="lies in the output"):
        make_export(output, output, "parquet")
    with pytest.raises(RunError, match="lies in the output"):
        make_export(output, output / "runs/exports", "parquet")
    with pytest.raises(RunError, match="no column 'colour'"):
        make_export(output, tmp_path / "to", "parquet", columns=["colour"])
    with pytest.raises(RunError, match="no published run"):
        make_export(tmp_path, tmp_path / "to", "parquet")
    with pytest.raises(ConfigError, match="--nonsense"):
        make_export(output, tmp_path / "to", "parquet", beam_args=["--nonsense=1"])
    assert not (tmp_path / "to").exists()
    make_export(output, tmp_path / "to", "npy")
    with pytest.raises(RunError, match="holds exports as npy; give each format a folder of its own"):
        make_export(output, tmp_path / "to", "parquet")


def test_a_folder_of_others_is_left_as_it_is(two_nights: Path, tmp_path: Path) -> None:
    to = tmp_path / "to"
    to.mkdir()
    (to / "notes.txt").write_text("mine")
    (to / "CURRENT").write_text("../../etc")
    before = contents(to)
    with pytest.raises(OutputError, match=r"CURRENT: it names no export; if it is of another program"):
        make_export(two_nights / "output", to, "parquet")
    assert contents(to) == before
    (to / "CURRENT").unlink()
    make_export(two_nights / "output", to, "parquet")
    assert (to / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("path", ["../../images/00.jpg", "/etc/passwd", "vectors-x.parquet", "delete/../x"])
def test_a_crafted_manifest_moves_nothing(two_nights: Path, tmp_path: Path, path: str) -> None:
    first = make_export(two_nights / "output", tmp_path / "to", "parquet")
    manifest = json.loads(Path(first.folder, "_EXPORT").read_text())
    manifest["files"][0]["path"] = path
    manifest["identity"]["of"]["columns"] = []
    Path(first.folder, "_EXPORT").write_text(json.dumps(manifest))
    before = contents(tmp_path / "to")
    with pytest.raises(OutputError, match=r"_EXPORT: not what runs write there: files.0.path"):
        make_export(two_nights / "output", tmp_path / "to", "parquet")
    assert contents(tmp_path / "to") == before


def test_a_lost_vector_is_no_export(two_nights: Path, tmp_path: Path) -> None:
    output = Path(shutil.copytree(two_nights / "output", tmp_path / "output"))
    shard = sorted((output / "runs/night-1").glob("features-*"))[-1]
    os.truncate(shard, 0)
    with pytest.raises(RunError, match=r"holds 0 of the \d records that ledgers have of it"):
        make_export(output, tmp_path / "to", "parquet")
    assert current_export(str(tmp_path / "to")) is None


KILLED = """\
import os, signal
from transforms.stores import storage

left = {left}

def before(function):
    def counted(*args, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **options)
    return counted

for name in ("upload", "copy", "write_bytes"):
    setattr(storage, name, before(getattr(storage, name)))

from pipeline.cli import program
program()
"""


def test_a_kill_leaves_the_export_before_whole(tmp_path: Path, nights: Callable[[str], None]) -> None:
    """SIGKILL before each thing that an export writes, and then the same command."""
    output, to = tmp_path / "output", tmp_path / "to"
    first = make_export(output, to, "npy")
    before = contents(first.folder)
    nights("night-3")
    fresh = make_export(output, tmp_path / "fresh", "npy")
    given = ["export", str(output), f"--to={to}", "--format=npy"]
    effects = len(fresh.manifest["files"]) + 3  # the manifest, _SUCCESS, CURRENT
    for left in (0, effects // 2, *range(effects - 3, effects)):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED.format(left=left), *given], check=False, capture_output=True
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert current_export(str(to)) == first
        assert contents(first.folder) == before
    done = command(*given)
    assert done.returncode == 0, done.stderr
    second = current_export(str(to))
    assert second is not None
    assert without_times(contents(second.folder)) == without_times(contents(fresh.folder))
    assert not list(to.rglob("*.partial"))


def without_times(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name != "_EXPORT"}
