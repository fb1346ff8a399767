"""Groups of near duplicates of an output: held against SciPy's connected components of all cosines."""

from __future__ import annotations

import importlib.util
import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import find_duplicates, load_features, search_output
from pipeline.cli import main
from pipeline.demo.corpus import BROKEN, make_corpus
from pipeline.errors import RunError
from pipeline.options.config import make_config
from pipeline.runs.run import run
from pipeline.vectors import candidates, duplicates
from pipeline.vectors.duplicates import DuplicateGroup, summary
from tests.conftest import Run
from tests.pipeline.vectors.made import by_scipy, cosines_of


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
    one = found._replace(groups=found.groups[:1])
    assert summary(one, 0.9999) == "15 images: 2 of them in 1 group of cosines from 0.9999; all pairs were compared"

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
@pytest.mark.whole
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
@pytest.mark.whole
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
