"""Groups of near duplicates: held against SciPy's connected components of all cosines, on both ways to the pairs."""

from __future__ import annotations

import importlib.util
import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.sparse.csgraph import connected_components

from pipeline import find_duplicates, load_features, search_output
from pipeline.cli import main
from pipeline.demo.corpus import BROKEN, make_corpus
from pipeline.errors import RunError
from pipeline.options.config import make_config
from pipeline.runs.run import run
from pipeline.vectors import candidates, duplicates, pairs
from pipeline.vectors.components import Components
from pipeline.vectors.duplicates import DuplicateGroup
from tests.conftest import Run

LEAST = 0.97
Groups = list[tuple[str, ...]]


def cosines_of(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = wide / np.where(lengths == 0, 1, lengths)
    return np.asarray(unit @ unit.T)


def by_scipy(uris: list[str], vectors: np.ndarray, least: float) -> Groups:
    _, labels = connected_components(cosines_of(vectors) >= least, directed=False)
    members = defaultdict(list)
    for uri, label in zip(uris, labels, strict=True):
        members[label].append(uri)
    return sorted(tuple(sorted(each)) for each in members.values() if len(each) > 1)


def clusters(seed: int, count: int, features: int = 48) -> np.ndarray:
    """float32 [N, features]: groups of vectors around centers, chains, lone ones, copies and zeros, shuffled."""
    random = np.random.default_rng(seed)
    centers = random.normal(0, 1, (count, features))
    rows = [center + random.normal(0, 0.08, features) for center in centers for _ in range(random.integers(1, 6))]
    start, end = random.normal(0, 1, (2, features))
    rows += [start + step * (end - start) for step in np.linspace(0, 1, 40)]  # near ones lead to far ones
    rows += [rows[0]] * 3 + [7 * rows[1]] + [np.zeros(features)] * 4
    vectors = np.array(rows, np.float32)
    return vectors[random.permutation(len(vectors))]


def groups_of(found: list[pairs.Pairs], uris: list[str]) -> Groups:
    components = Components(len(uris))
    for some in found:
        components.join(some.first, some.second)
    members = defaultdict(list)
    for row, root in enumerate(components.roots(np.arange(len(uris))).tolist()):
        members[root].append(uris[row])
    return sorted(tuple(sorted(each)) for each in members.values() if len(each) > 1)


Finding = Callable[[np.ndarray, float], list[pairs.Pairs]]


def exactly(vectors: np.ndarray, least: float) -> list[pairs.Pairs]:
    return list(pairs.near_pairs(vectors, least))


def by_faiss(vectors: np.ndarray, least: float) -> list[pairs.Pairs]:
    return list(candidates.Candidates(vectors, least).pairs())


@pytest.mark.parametrize("find", [exactly, by_faiss])
@pytest.mark.parametrize("least", [0.9, 0.97, 0.999])
def test_groups_are_the_connected_components_of_near_pairs(
    find: Finding, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 50)
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    vectors = clusters(4, 60)
    uris = [f"{i:03}.jpg" for i in range(len(vectors))]
    wanted = by_scipy(uris, vectors, least)
    assert groups_of(find(vectors, least), uris) == wanted
    assert len(wanted) > 2


def test_every_near_pair_is_found_once_with_its_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 33)
    vectors = clusters(5, 40)
    found = {
        (a, b): cosine
        for some in exactly(vectors, LEAST)
        for a, b, cosine in zip(*(each.tolist() for each in some), strict=True)
    }
    assert sum(len(some.first) for some in exactly(vectors, LEAST)) == len(found)
    cosines = cosines_of(vectors)
    wanted = {(a, b) for a, b in zip(*np.nonzero(np.triu(cosines >= LEAST, 1)), strict=True)}
    assert found.keys() == wanted
    assert all(cosine == pytest.approx(cosines[pair], abs=1e-6) for pair, cosine in found.items())


@pytest.mark.parametrize("least", [0.9, 0.91, 0.93, 0.95, 0.97, 0.99])
def test_pairs_at_the_limit_are_told_apart_in_float64(least: float) -> None:
    """The nearest cosines above and below the limit that there are, closer to it than float32 can tell."""
    side = np.float32(least)
    others = np.float32((1 - least**2) ** 0.5) + np.arange(-40, 40, dtype=np.float32) * np.float32(2**-26)
    there = [(float(side / np.hypot(np.float64(side), other)), other) for other in others]
    above = min(each for each in there if each[0] >= least)
    below = max(each for each in there if each[0] < least)
    assert above[0] - below[0] < 2e-8
    vectors = np.zeros((4, 4), np.float32)
    vectors[0, 0] = vectors[2, 2] = 1
    vectors[1, :2], vectors[3, 2:] = (side, above[1]), (side, below[1])
    (found,) = exactly(vectors, least)
    assert (found.first.tolist(), found.second.tolist()) == ([0], [1])


def test_faiss_gives_pairs_of_two_with_their_cosines() -> None:
    vectors = clusters(8, 60)
    cosines = cosines_of(vectors)
    found = by_faiss(vectors, LEAST)
    assert sum(len(some.first) for some in found) > 100
    for some in found:
        assert (some.first != some.second).all()
        np.testing.assert_allclose(some.cosines, cosines[some.first, some.second], atol=1e-12)
        assert (some.cosines >= LEAST).all()


@pytest.mark.parametrize("order", ["forth", "back", "mixed"])
def test_components_come_out_the_same_in_whatever_order_pairs_come(order: str) -> None:
    random = np.random.default_rng(9)
    chain = [(i, i + 1) for i in range(99)]
    edges = [*chain, *(tuple(pair) for pair in random.integers(100, 160, (25, 2)).tolist())]
    edges = {"forth": edges, "back": edges[::-1], "mixed": random.permutation(edges).tolist()}[order]
    components = Components(160)
    for a, b in edges:  # one by one
        components.join(np.array([a]), np.array([b]))
    joined = np.zeros((160, 160), bool)
    joined[tuple(np.array(edges).T)] = True
    _, labels = connected_components(joined, directed=False)
    lowest = {label: int(np.flatnonzero(labels == label)[0]) for label in labels}
    assert components.roots(np.arange(160)).tolist() == [lowest[label] for label in labels]


def test_copies_have_a_cosine_of_1_and_zeros_are_near_to_nothing() -> None:
    once = np.random.default_rng(6).normal(0, 1, (30, 1664)).astype(np.float32)
    (found,) = exactly(np.concatenate([once, np.zeros_like(once), once]), 1.0)
    assert [each.tolist() for each in found] == [list(range(30)), list(range(60, 90)), [1.0] * 30]
    assert exactly(np.zeros((3, 8), np.float32), 1e-9)[0].first.size == 0


def test_faiss_is_measured_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clusters(7, 100)
    monkeypatch.setattr(candidates, "SAMPLE", len(vectors))
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    found = candidates.Candidates(vectors, LEAST)
    sample, recall = found.sampled()
    wanted = {(a, b) for a, b in zip(*np.nonzero(cosines_of(vectors) >= LEAST), strict=True) if a != b}
    assert set(zip(sample.first.tolist(), sample.second.tolist(), strict=True)) == wanted
    assert recall == 1
    # Each image has others that are nearer than all but one of its near ones.
    monkeypatch.setattr(candidates, "NEIGHBOURS", 1)
    _, fewer = found.sampled()
    assert fewer is not None
    assert 0.05 < fewer < 0.8
    lone = candidates.Candidates(np.eye(50, dtype=np.float32), LEAST)
    assert lone.sampled()[1] is None


@pytest.fixture
def output(tmp_path: Path, images: Path, run_pipeline: Run) -> str:
    """Twelve photos and copies of three of them."""
    for i in range(3):
        (images / f"copy of {i:02}.jpg").write_bytes((images / f"{i:02}.jpg").read_bytes())
    run_pipeline(input=str(images), run_id="r")
    return str(tmp_path / "output")


@pytest.mark.parametrize("exact_up_to", [200_000, 10])
def test_an_output_is_grouped(exact_up_to: int, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "EXACT_UP_TO", exact_up_to)
    monkeypatch.setattr(candidates, "SAMPLE", 2)
    features = load_features(output)
    cosines = cosines_of(features.vectors)
    for least in (0.5, 0.99, 0.9999, 1.0):
        found = find_duplicates(output, min_cosine=least)
        wanted = by_scipy(features.uris, features.vectors, least if least < 1 else 1 - 1e-12)
        assert [group.uris for group in found.groups] == wanted
        assert (found.images, found.exact) == (15, exact_up_to > 10)
        for group in found.groups:
            check_cosines(group, features.uris, cosines, least)
    assert len(wanted) == 3


def check_cosines(group: DuplicateGroup, uris: list[str], cosines: np.ndarray, least: float) -> None:
    rows = [uris.index(uri) for uri in group.uris]
    of_group = cosines[np.ix_(rows, rows)]
    np.testing.assert_allclose(group.cosines, of_group[0], atol=1e-9)
    near = of_group[np.triu_indices(len(rows), 1)]
    near = near[near >= least - 1e-12]
    np.testing.assert_allclose([group.least, group.most], [near.min(), near.max()], atol=1e-6)


def test_deleted_images_are_left_out_and_one_run_is_taken_as_it_is(two_nights: Path) -> None:
    output = str(two_nights / "output")
    assert find_duplicates(output).images == 12
    assert find_duplicates(output, run_id="night-1").images == 12
    assert find_duplicates(output, run_id="night-2").images == 3


def test_without_faiss_the_extra_is_named(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    genuine = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "faiss" else genuine(name))
    assert find_duplicates(output).exact
    monkeypatch.setattr(duplicates, "EXACT_UP_TO", 14)
    with pytest.raises(RunError, match=r"it has 15 vectors; .*pip install 'embed-images\[faiss\]'"):
        find_duplicates(output)


def test_the_command_prints_and_writes_groups(
    output: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def typed(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(["duplicates", output, *arguments])
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    found = find_duplicates(output, min_cosine=0.9999)
    wanted = [
        {"uris": list(each.uris), "size": len(each.uris), "min_cosine": each.least, "max_cosine": each.most}
        for each in found.groups
    ]
    status, lines, line = typed("--min_cosine", "0.9999")
    assert (status, [json.loads(each) for each in lines.splitlines()]) == (0, wanted)
    assert line == "15 images: 6 of them in 3 groups of cosines from 0.9999; all pairs were compared\n"

    status, said, _ = typed("--min_cosine=0.9999", "--to", str(tmp_path / "groups.jsonl"))
    assert (status, said) == (0, f"{line.rstrip()}, written to {tmp_path}/groups.jsonl\n")
    assert [json.loads(each) for each in (tmp_path / "groups.jsonl").read_text().splitlines()] == wanted
    typed("--min_cosine=0.9999", "--to", str(tmp_path / "groups.parquet"))
    rows = pq.read_table(tmp_path / "groups.parquet").to_pylist()
    assert rows == [
        {"group": number, "uri": uri, "cosine": cosine}
        for number, group in enumerate(found.groups)
        for uri, cosine in zip(group.uris, group.cosines, strict=True)
    ]
    assert len(rows) == 6

    monkeypatch.setattr(duplicates, "EXACT_UP_TO", 10)
    _, _, line = typed("--min_cosine=0.9999")
    assert line.endswith("may have missed some: of those of 256 sampled images it found 100.0%\n")
    status, _, said = typed("--min_cosine=0")
    assert (status, said) == (2, "embed-images: --min_cosine: '0' is not allowed: a number above 0, up to 1\n")


def test_no_groups_are_written_as_none(two_nights: Path, tmp_path: Path) -> None:
    found = find_duplicates(str(two_nights / "output"), min_cosine=1)
    assert found.groups == []
    for name in ("a.parquet", "a.jsonl"):
        duplicates.write_groups(found, str(tmp_path / name))
    assert pq.read_table(tmp_path / "a.parquet").schema.equals(duplicates.SCHEMA)
    assert (tmp_path / "a.jsonl").read_bytes() == b""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An output of the demo's corpus, of which each folder is a photo, with trained weights."""
    module = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    if not module:
        pytest.skip("EMBED_IMAGES_REAL_MODULE names no folder with trained weights")
    folder = tmp_path_factory.mktemp("demo")
    make_corpus(folder / "corpus")
    given = {"input": str(folder / "corpus"), "output": str(folder / "output"), "model": module, "run_id": "r"}
    assert run(make_config(given, [])) is not None
    return str(folder / "output")


@pytest.mark.real_module
def test_near_duplicates_of_the_demo_are_the_variants_of_a_photo(demo: str) -> None:
    """By pairs of images: precision, and recall, of groups against folders."""
    uris = load_features(demo).uris
    true = {(a, b) for a in uris for b in uris if a < b and Path(a).parent == Path(b).parent}
    assert BROKEN not in {Path(uri).parent.name for uri in uris}
    measured = {}
    for least in (0.97, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6):
        groups = find_duplicates(demo, min_cosine=least).groups
        found = {(a, b) for group in groups for a in group.uris for b in group.uris if a < b}
        precision, recall = len(found & true) / len(found), len(found & true) / len(true)
        measured[least] = precision, recall
        sizes = Counter(len(group.uris) for group in groups)
        print(f"{least}: precision {precision:.3f}, recall {recall:.3f}, {len(groups)} groups, {sizes}")
    assert all(measured[least][0] == 1 for least in (0.97, 0.95, 0.9, 0.85, 0.8))
    assert measured[0.97][1] >= 0.25
    assert measured[0.9][1] >= 0.67
    assert measured[0.8][1] >= 0.9


@pytest.mark.real_module
def test_the_nearest_images_of_the_demo_are_the_variants_of_a_photo(demo: str) -> None:
    right = Counter[int]()
    features = load_features(demo)
    for uri in features.uris:
        hits = [hit for hit in search_output(demo, uri=uri, k=9, columns=()) if hit.uri != uri]
        assert len(hits) == 9
        right.update(i for i, hit in enumerate(hits) if Path(hit.uri).parent == Path(uri).parent)
    count = len(features.uris)
    print(f"the nearest is a variant: {right[0] / count:.3f}; of the nine nearest: {right.total() / 9 / count:.3f}")
    assert right[0] / count >= 0.99
    assert right.total() / 9 / count >= 0.99
