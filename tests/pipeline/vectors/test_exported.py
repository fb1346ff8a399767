"""Searching exports: held against the search over the records, and against all cosines of vectors that are hard."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.search import save_export
from pipeline import search_output
from pipeline.errors import OutputError, RunError
from pipeline.outputs.dataset import read_manifest
from pipeline.outputs.selection import select_features
from pipeline.vectors import querying, scoring, search
from pipeline.vectors.scoring import cosines_to
from tests.pipeline.runs.test_export import make_export
from tests.pipeline.vectors.conftest import Made, Typed, all_cosines
from transforms.exports import reading

FORMATS = ("parquet", "npy", "faiss", "tensorboard")
COLUMNS = ("image/class/label", "price", "caption", "tags", "scores")


def export_of(two_nights: Path, to: Path, format: str, runs: tuple[str, ...] = ("night-1", "night-2")) -> str:
    """An export of the two nights, as the command would make it, a file of each shard."""
    output = str(two_nights / "output")
    chosen = select_features(output)
    batches = list(chosen.batches())
    manifests = [read_manifest(f"{output}/runs/{run}") for run in runs]
    shards = [(sum(each.num_rows for each in some), some) for some in (batches[:1], batches[1:])]
    save_export(to, format, shards, chosen.schema, manifests)
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
