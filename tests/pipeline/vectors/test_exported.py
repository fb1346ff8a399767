"""Searching exports: held against the search over the records, and against all cosines of vectors that are hard."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.search import save_export, save_run
from pipeline import search_output
from pipeline.errors import OutputError, RunError
from pipeline.outputs.dataset import read_manifest
from pipeline.outputs.selection import select_features
from pipeline.vectors import querying, scoring, search
from pipeline.vectors.scoring import Hit, cosines_to
from tests.pipeline.runs.test_export import make_export
from tests.pipeline.vectors.conftest import Typed
from transforms.exports import faiss, reading
from transforms.records import arrow
from transforms.stores import filesystems

FORMATS = ("parquet", "npy", "faiss", "tensorboard")
COLUMNS = ("image/class/label", "price", "caption", "tags", "scores")


def export_of(two_nights: Path, to: Path, format: str, runs: tuple[str, ...] = ("night-1", "night-2")) -> str:
    """An export of the two nights, as the command would make it, a file of each shard."""
    output = str(two_nights / "output")
    chosen = select_features(output, drop_deleted=True)
    batches = list(chosen.batches())
    manifests = [read_manifest(f"{output}/runs/{run}") for run in runs]
    save_export(to, format, [batches[:1], batches[1:]], chosen.schema, manifests)
    return str(to)


@pytest.fixture(scope="module")
def exported(two_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A folder of exports in a format; each is made once, and to be left so."""
    made: dict[str, str] = {}

    def of(format: str) -> str:
        if format not in made:
            made[format] = export_of(two_nights, tmp_path_factory.mktemp(format) / "to", format)
        return made[format]

    return of


@pytest.fixture
def output(two_nights: Path) -> str:
    return str(two_nights / "output")


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_gives_what_the_records_give(
    format: str, two_nights: Path, output: str, exported: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "embed_as", lambda *_, **__: pytest.fail("a model was asked for"))
    uri = str(two_nights / "images/03.jpg")
    for k in (1, 4, 50):
        wanted = search_output(output, uri=uri, k=k)
        assert search_output(output, uri=uri, k=k, export=exported(format)) == wanted
    few = search_output(output, uri=uri, columns=["caption"], export=exported(format))
    assert few == search_output(output, uri=uri, columns=["caption"])
    monkeypatch.chdir(two_nights)
    assert search_output(output, uri="images/03.jpg", columns=["caption"], export=exported(format)) == few


@pytest.mark.exports
@pytest.mark.parametrize("format", FORMATS)
def test_what_the_command_exports_gives_what_the_records_give(
    format: str, two_nights: Path, output: str, tmp_path: Path
) -> None:
    make_export(two_nights / "output", tmp_path / "to", format)
    for name in ("images/03.jpg", "images/11.jpg"):
        wanted = search_output(output, uri=str(two_nights / name), k=50)
        assert search_output(output, uri=str(two_nights / name), k=50, export=str(tmp_path / "to")) == wanted


def test_an_image_is_embedded_as_the_newest_run_did(
    two_nights: Path, output: str, exported: Callable[[str], str]
) -> None:
    image = str(two_nights / "images/07.jpg")
    wanted = search_output(output, image=image, k=20)
    assert search_output(output, image=image, k=20, export=exported("npy")) == wanted
    assert wanted[0].uri == image


Made = Callable[..., tuple[str, str]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Exports vectors that were never embedded: (output, folder of exports)."""

    def make(format: str, uris: list[str], vectors: np.ndarray, size: int) -> tuple[str, str]:
        schema = arrow.schema_of(vectors.shape[1], [])

        def batch(start: int) -> pa.RecordBatch:
            part = vectors[start : start + size]
            lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
            embeddings = lists.cast(schema.field(arrow.EMBEDDING).type)
            columns = [pa.array(uris[start : start + size]), pa.array(["1"] * len(part)), embeddings]
            return pa.RecordBatch.from_arrays(columns, schema=schema)

        batches = [batch(start) for start in range(0, len(uris), size)]
        run = save_run(tmp_path / "output", vectors.shape[1])
        save_export(tmp_path / "to", format, [batches[::2], batches[1::2]], schema, [run])
        return str(tmp_path / "output"), str(tmp_path / "to")

    return make


def all_cosines(uris: list[str], vectors: np.ndarray, query: int, k: int) -> list[Hit]:
    """The nearest of all others, by the cosines of all in float64."""
    cosines = cosines_to(vectors[query], vectors).tolist()
    found = sorted(zip(uris, cosines, strict=True), key=lambda each: (-each[1], each[0]))
    return [Hit(uri, cosine, {"version": "1"}) for uri, cosine in found if uri != uris[query]][:k]


@pytest.mark.parametrize("format", ["parquet", "npy", "faiss"])
@pytest.mark.parametrize("size", [3, 64])
def test_ties_zeros_and_small_blocks(format: str, size: int, made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "BLOCK_BYTES", size * 4 * 24)
    random = np.random.default_rng(1)
    vectors = random.normal(0, 1, (200, 24)).astype(np.float32)
    vectors[50:70] = vectors[0]
    vectors[100:110] = 4 * vectors[0]  # of the same cosine, by other lengths
    vectors[150:160] = 0
    vectors[160:163] *= np.float32(1e-30)
    vectors[163:166] *= np.float32(1e30)
    uris = [f"/{i:03}.jpg" for i in random.permutation(200)]
    output, to = made(format, uris, vectors, size)
    for query in (0, 150, 160, 163, 199):
        for k in (1, 7, 40, 500):
            found = search_output(output, uri=uris[query], k=k, export=to)
            assert found == all_cosines(uris, vectors, query, k)


@pytest.mark.parametrize("format", ["parquet", "npy", "faiss"])
def test_cosines_that_float32_puts_in_another_order(format: str, made: Made) -> None:
    random = np.random.default_rng(2)
    base = random.normal(0, 1, 512)
    noise = random.normal(0, 1, (300, 512))
    lengths = random.uniform(0.1, 10, (300, 1))
    vectors = (lengths * (base + 2e-4 * noise)).astype(np.float32)
    uris = [f"/{i:03}.jpg" for i in range(300)]
    wanted = all_cosines(uris, vectors, 0, 25)
    products = vectors @ (vectors[0] / np.linalg.norm(vectors[0])) / np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    by_float32 = [uris[i] for i in np.argsort(-products, kind="stable") if i][:25]
    assert set(by_float32) != {hit.uri for hit in wanted}
    assert len({hit.cosine for hit in wanted}) == 25
    output, to = made(format, uris, vectors, 32)
    assert search_output(output, uri=uris[0], k=25, export=to) == wanted


@pytest.fixture
def lists(made: Made, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str, list[str], np.ndarray]:
    """An export with an index of lists: output, folder, uris, vectors."""
    monkeypatch.setattr(faiss, "FLAT", 5)
    monkeypatch.setattr(faiss, "TRAINED_ON", 10)
    monkeypatch.setattr(faiss, "PROBED", 8)
    random = np.random.default_rng(3)
    vectors = random.normal(0, 1, (3000, 16)).astype(np.float32)
    vectors[:40] = vectors[0]
    uris = [f"/{i:04}.jpg" for i in random.permutation(3000)]
    output, to = made("faiss", uris, vectors, 500)
    return output, to, uris, vectors


def test_an_index_of_lists_finds_most_and_says_so(
    lists: tuple[str, str, list[str], np.ndarray], caplog: pytest.LogCaptureFixture
) -> None:
    output, to, uris, vectors = lists
    caplog.set_level(logging.INFO, "embed_images")
    assert search_output(output, uri=uris[0], k=10, export=to) == all_cosines(uris, vectors, 0, 10)  # 40 ties
    assert "approximate: the index looks into 8 of its 219 lists; --exact looks at all vectors" in caplog.text
    caplog.clear()
    every = {hit.uri: hit for hit in all_cosines(uris, vectors, 100, 2999)}
    found = search_output(output, uri=uris[100], k=20, export=to)
    assert all(every[hit.uri] == hit for hit in found)
    assert [hit.cosine for hit in found] == sorted((hit.cosine for hit in found), reverse=True)
    nearest = list(every.values())[:20]
    assert found != nearest
    assert len({hit.uri for hit in found} & {hit.uri for hit in nearest}) > 8
    caplog.clear()
    assert search_output(output, uri=uris[100], k=20, export=to, exact=True) == nearest
    assert "approximate" not in caplog.text
    assert search_output(output, uri=uris[100], k=4000, export=to) == list(every.values())
    assert "approximate" not in caplog.text  # since all lists were looked into


def test_without_faiss_an_index_of_lists_is_told(
    lists: tuple[str, str, list[str], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    output, to, uris, vectors = lists
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(RunError, match=r"pip install 'embed-images\[faiss\]'` brings it, and --exact needs none"):
        search_output(output, uri=uris[1], export=to)
    assert search_output(output, uri=uris[1], export=to, exact=True) == all_cosines(uris, vectors, 1, 10)


@pytest.mark.parametrize("content", [b"", b"IwFl", b"IwFl" + bytes(200), b"something else"])
def test_an_index_that_is_none_is_refused(content: bytes, lists: tuple[str, str, list[str], np.ndarray]) -> None:
    import faiss as library

    output, to, uris, _ = lists
    (index,) = Path(to).rglob("index.faiss")
    index.write_bytes(content)
    with pytest.raises(OutputError, match=r"index\.faiss: no index that"):
        search_output(output, uri=uris[1], export=to)
    other = library.index_factory(16, "IVF2,Flat", library.METRIC_INNER_PRODUCT)
    other.train(np.eye(16, dtype=np.float32).repeat(5, 0))
    library.write_index(other, str(index))
    with pytest.raises(OutputError, match=r"index\.faiss: it is not of the 3,000 vectors that lie beside it"):
        search_output(output, uri=uris[1], export=to)
    index.unlink()
    with pytest.raises(OutputError, match=r"index\.faiss: it is not there"):
        search_output(output, uri=uris[1], export=to)


@pytest.mark.parametrize("format", ["parquet", "npy", "faiss"])
def test_an_export_in_a_store_is_streamed(
    format: str, lists: tuple[str, str, list[str], np.ndarray], made: Made, monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    output, to, uris, vectors = lists
    if format != "faiss":
        shutil.rmtree(tmp_path / "output")
        shutil.rmtree(tmp_path / "to")
        made(format, uris, vectors, 500)
    monkeypatch.setattr(filesystems, "SCHEMES", filesystems.SCHEMES | {"memory"})
    filesystems.filesystem("memory://").put(to, f"memory://{format}", recursive=True)
    for k in (5, 3000):
        found = search_output(output, uri=uris[100], k=k, export=f"memory://{format}")
        if format != "faiss":
            assert found == all_cosines(uris, vectors, 100, k)
        else:
            assert found == search_output(output, uri=uris[100], k=k, export=to)


def changed(exported: str, to: Path, **entries: Any) -> str:
    """A copy of a folder of exports, the manifest of which says something else."""
    shutil.copytree(exported, to)
    (file,) = to.glob("*/_EXPORT")
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))
    return str(to)


@pytest.mark.parametrize(
    ("entries", "error", "message"),
    [
        ({"generation": {"precision": "bf16"}}, RunError, r"cannot be compared with those of .*night-2 \(.*precision"),
        ({"complete": False}, RunError, "holds changes only; searched are exports as parquet, npy"),
        ({"files": []}, RunError, "has no vector of it"),
        ({"files": "none"}, OutputError, "_EXPORT: not what runs write there: files"),
        ({"runs": []}, OutputError, "_EXPORT: not what runs write there: runs"),
        ({"preprocessing": None}, OutputError, "_EXPORT: not what runs write there: preprocessing"),
    ],
)
def test_exports_that_are_not_of_these_vectors_are_refused(
    entries: dict[str, Any], error: type[Exception], message: str, two_nights: Path, output: str, tmp_path: Path,
    exported: Callable[[str], str],
) -> None:  # fmt: skip
    to = changed(exported("npy"), tmp_path / "to", **entries)
    with pytest.raises(error, match=message):
        search_output(output, uri=str(two_nights / "images/03.jpg"), export=to)


def test_an_export_for_vertex_is_refused(two_nights: Path, output: str, tmp_path: Path) -> None:
    to = export_of(two_nights, tmp_path / "to", "vertex")
    with pytest.raises(RunError, match="holds vectors as vertex; searched are exports as parquet"):
        search_output(output, uri=str(two_nights / "images/03.jpg"), export=to)


def test_a_folder_that_holds_no_export_is_told(two_nights: Path, output: str, tmp_path: Path) -> None:
    uri = str(two_nights / "images/03.jpg")
    with pytest.raises(RunError, match=r"--export: .*none holds no export; `embed-images export .*output --to .*none`"):
        search_output(output, uri=uri, export=str(tmp_path / "none"))
    (tmp_path / "CURRENT").write_text("../else")
    with pytest.raises(OutputError, match="CURRENT: it names no export; if it is of another program"):
        search_output(output, uri=uri, export=str(tmp_path))
    (tmp_path / "CURRENT").write_text("night-1")
    (tmp_path / "night-1").mkdir()
    for garbage in ("{", "[]", "\0"):
        (tmp_path / "night-1/_EXPORT").write_text(garbage)
        with pytest.raises(OutputError, match="_EXPORT: not "):
            search_output(output, uri=uri, export=str(tmp_path))


@pytest.mark.parametrize("format", ["parquet", "npy"])
def test_files_that_do_not_hold_what_the_export_tells_are_refused(
    format: str, two_nights: Path, output: str, tmp_path: Path, exported: Callable[[str], str]
) -> None:
    uri = str(two_nights / "images/03.jpg")
    to = tmp_path / "to"
    shutil.copytree(exported(format), to)
    files = sorted(to.glob(f"*/vectors-*[0-9a-f].{format}"))
    whole = files[0].read_bytes()
    for content in (b"", whole[:-40], whole[:100], b"x" * 500, files[1].read_bytes()):
        files[0].write_bytes(content)
        with pytest.raises(OutputError, match=rf"\.{format}: (not what exports write there|it does not hold the)"):
            search_output(output, uri=uri, export=str(to))
    files[0].unlink()
    with pytest.raises(OutputError, match=r"it is not there, though the export names it"):
        search_output(output, uri=uri, export=str(to))


def test_what_is_asked_in_vain_is_told(
    two_nights: Path, output: str, exported: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying, "prepare_model", lambda *_, **__: pytest.fail("a model was asked for"))
    uri = str(two_nights / "images/03.jpg")
    with pytest.raises(RunError, match=r"the export has no column 'colour'; it has 'image/class/label', "):
        search_output(output, uri=uri, columns=["colour"], export=exported("npy"))
    with pytest.raises(RunError, match=r"04\.jpg: the export .* has no vector of it"):
        search_output(output, uri=str(two_nights / "images/04.jpg"), export=exported("npy"))
    with pytest.raises(ValueError, match="searched as a whole"):
        search_output(output, uri=uri, run_id="night-1", export=exported("npy"))


def test_a_line_tells_how_many_runs_an_export_lacks(
    two_nights: Path, output: str, tmp_path: Path, exported: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "embed_images")
    uri = str(two_nights / "images/03.jpg")
    search_output(output, uri=uri, export=exported("npy"))
    assert not caplog.messages
    search_output(output, uri=uri, export=export_of(two_nights, tmp_path / "to", "npy", ("night-1",)))
    assert len(caplog.messages) == 1
    assert "lacks 1 of the 2 runs of" in caplog.text


def test_most_rows_are_decided_by_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = np.random.default_rng(4).normal(0, 1, (20_000, 32)).astype(np.float32)
    decided: list[int] = []

    def counting(query: np.ndarray, rows: np.ndarray) -> np.ndarray:
        decided.append(len(rows))
        return cosines_to(query, rows)

    monkeypatch.setattr(scoring, "cosines_to", counting)
    scoring.nearest([scoring.Block([f"{i}" for i in range(20_000)], vectors)], vectors[0], 10)
    assert sum(decided) < 200


def test_the_command_searches_an_export(
    two_nights: Path, output: str, exported: Callable[[str], str], typed: Typed
) -> None:
    uri = str(two_nights / "images/12.jpg")
    plain = typed("search", output, "--uri", uri, "-k", "3", "--json")
    assert plain[0] == 0
    assert plain[1].count("\n") == 3
    for given in (["--export", exported("parquet")], ["--export", exported("faiss"), "--exact"]):
        assert typed("search", output, "--uri", uri, "-k", "3", "--json", *given) == plain
    status, shown, error = typed("search", output, "--uri", uri, "--export", "x", "--run_id", "night-1")
    assert (status, shown) == (2, "")
    assert "--run_id: 'night-1' is not allowed: with --export, which is searched as a whole" in error
    status, shown, error = typed("search", output, "--uri", uri, "--export", str(two_nights))
    assert (status, shown) == (1, "")
    assert "holds no export" in error
    assert "Traceback" not in error
