"""Exact search over blocks: held against a computation of all cosines at once."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import OutputError
from pipeline.vectors import scoring
from pipeline.vectors.scoring import Block, cosines_to, nearest, nearest_of_parts

FEATURES = 24


def blocks_of(uris: list[str], vectors: np.ndarray, size: int) -> Iterator[Block]:
    for start in range(0, len(uris), size):
        yield Block(uris[start : start + size], vectors[start : start + size])


def brute_force(uris: list[str], vectors: np.ndarray, query: np.ndarray, k: int) -> list[tuple[str, float]]:
    """All cosines by a loop, in the order of the largest and then of uris."""
    x = query.astype(np.float64)
    found = []
    for uri, vector in zip(uris, vectors.astype(np.float64), strict=True):
        norms = float(np.sqrt(np.dot(x, x)) * np.sqrt(np.dot(vector, vector)))
        found.append((uri, float(np.dot(x, vector)) / norms if norms else 0.0))
    return sorted(found, key=lambda each: (-round(each[1], 12), each[0]))[:k]


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
@pytest.mark.parametrize("k", [1, 10, 500])
def test_what_is_found_is_what_all_cosines_say(size: int, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "PIECE_ROWS", 64)
    random = np.random.default_rng(1)
    vectors = random.normal(0, 1, (400, FEATURES)).astype(np.float32)
    vectors[50:60] = vectors[0]  # ties, of which some are multiples
    vectors[100:110] = 4 * vectors[0]
    vectors[200:230] = 0
    uris = [f"{i:03}.jpg" for i in random.permutation(400)]
    query = (vectors[0] + random.normal(0, 0.1, FEATURES)).astype(np.float32)
    found = nearest(blocks_of(uris, vectors, size), query, k)
    wanted = brute_force(uris, vectors, query, k)
    assert [hit.uri for hit in found] == [uri for uri, _ in wanted]
    np.testing.assert_allclose([hit.cosine for hit in found], [cosine for _, cosine in wanted], atol=1e-12)
    assert len(found) == min(k, 400)


@pytest.mark.parametrize("k", [1, 9, 70, 1000])
def test_parts_at_once_are_as_one(k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "PIECE_ROWS", 16)
    random = np.random.default_rng(6)
    vectors = random.normal(0, 1, (600, FEATURES)).astype(np.float32)
    vectors[::9] = vectors[0]  # ties, in all parts
    vectors[5::70] = 0
    uris = [f"{i:03}.jpg" for i in random.permutation(600)]
    ends = [0, 1, 1, 40, 300, 310, 600]
    for query in (vectors[0], vectors[1], np.zeros(FEATURES, np.float32)):
        parts = (blocks_of(uris[a:b], vectors[a:b], 37) for a, b in pairwise(ends))
        assert nearest_of_parts(parts, query, k) == nearest(blocks_of(uris, vectors, 37), query, k)


def test_what_a_part_meets_is_told() -> None:
    def broken() -> Iterator[Block]:
        yield Block(["a"], np.ones((1, 3), np.float32))
        raise OutputError("it ends early")

    parts = [[Block(["b"], np.ones((1, 3), np.float32))], broken(), broken()]
    with pytest.raises(OutputError, match="it ends early"):
        nearest_of_parts(parts, np.ones(3, np.float32), 1)


def test_equal_vectors_have_equal_cosines_wherever_they_lie() -> None:
    random = np.random.default_rng(2)
    query, vector = random.normal(0, 1, (2, 1664)).astype(np.float32)
    found = set()
    for rows in (1, 2, 3, 5, 64, 1024):
        block = random.normal(0, 1, (rows, 1664)).astype(np.float32)
        for row in {0, rows // 2, rows - 1}:
            block[row] = vector
            found.add(float(cosines_to(query, block)[row]))
    assert len(found) == 1


def test_a_vector_is_as_near_to_itself_as_can_be_and_zeros_to_nothing() -> None:
    vectors = np.random.default_rng(3).normal(0, 1, (50, 1664)).astype(np.float32)
    assert all(cosines_to(vector, vectors)[i] == 1 for i, vector in enumerate(vectors))
    assert cosines_to(vectors[0], -vectors[:1]).tolist() == [-1]
    assert cosines_to(np.zeros(1664, np.float32), vectors).tolist() == [0] * 50
    assert cosines_to(vectors[0], np.zeros((2, 1664), np.float32)).tolist() == [0, 0]


def test_values_at_the_ends_of_float32_have_cosines() -> None:
    for scale in (1e-44, 1e-30, 1e30, 3e38):
        vectors = np.array([[scale, 0], [scale, scale], [0, scale]], np.float32)
        np.testing.assert_allclose(cosines_to(vectors[1], vectors), [2**-0.5, 1, 2**-0.5], rtol=1e-6)


def test_hits_tell_what_is_known_of_their_images() -> None:
    vectors = np.array([[1, 0], [1, 1], [0, 1]], np.float32)
    rows = pa.RecordBatch.from_pydict({"label": [3, None, 5], "tags": [["a"], [], None]})
    found = nearest([Block(["a", "b", "c"], vectors, rows), Block(["d"], vectors[:1])], vectors[0], 3)
    assert [(hit.uri, hit.told) for hit in found] == [
        ("a", {"label": 3, "tags": ["a"]}),
        ("d", {}),
        ("b", {"label": None, "tags": []}),
    ]


def test_nothing_is_found_in_nothing() -> None:
    assert nearest([], np.ones(3, np.float32), 5) == []
    assert nearest([Block([], np.zeros((0, 3), np.float32))], np.ones(3, np.float32), 5) == []
