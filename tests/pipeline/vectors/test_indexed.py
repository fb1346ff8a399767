"""Searching exports by an index of lists, and exports in stores."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import search_output
from pipeline.errors import OutputError, RunError
from tests.pipeline.vectors.conftest import Made, all_cosines
from transforms.exports import faiss
from transforms.stores import filesystems


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
