"""The evaluation of an output: which vectors and labels go in, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import Evaluation, evaluate_output, load_features
from pipeline.errors import RunError
from pipeline.evaluation import evaluate
from pipeline.evaluation.neighbours import NEIGHBOURS, find_nearest, measure_neighbours
from pipeline.evaluation.probe import measure_probe, predict_held_out
from pipeline.evaluation.report import as_json, as_text
from pipeline.outputs.features import Features, load_selection
from pipeline.outputs.selection import Selection
from tests.conftest import TINY_FEATURES, Run

LABEL = "image/class/label"


@pytest.fixture(scope="module")
def output(two_nights: Path) -> str:
    return str(two_nights / "output")


def test_the_newest_vectors_of_images_that_are_there_go_in(output: str) -> None:
    found = evaluate_output(output)
    vectors = load_features(output).vectors
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    assert (found.images_there, found.geometry.images, found.geometry.dimensions) == (12, 12, TINY_FEATURES)
    assert found.geometry.mean_norm == pytest.approx(norms.mean())
    assert found.by_label is None
    of_run = evaluate_output(output, run_id="night-2")
    assert (of_run.run_id, of_run.images_there) == ("night-2", 3)
    assert of_run.geometry.mean_norm != found.geometry.mean_norm


def test_labels_go_in_by_a_column(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reversed_selection(chosen: Selection) -> Features:
        """Images of rare labels, which are of the second night, come first."""
        found = load_selection(chosen)
        return Features(found.vectors[::-1], found.table.take(np.arange(chosen.count)[::-1]))

    monkeypatch.setattr(evaluate, "load_selection", reversed_selection)
    found = evaluate_output(output, column=LABEL, seed=2).by_label
    assert found is not None
    # Of 0, 1 and 2 there are four, three and three images; 9 and 7 have one each.
    assert (found.images, found.labels, found.without_value) == (10, 3, 0)
    assert (found.images_left_out, found.labels_left_out, found.chance) == (2, 2, 0.4)
    features = load_features(output)
    labels = features.columns[LABEL]
    used = labels < 3
    assert found.neighbours == measure_neighbours(
        find_nearest(features.vectors[used], NEIGHBOURS, groups=None).images, labels[used], None
    )
    vectors, labels = features.vectors[used][::-1], labels[used][::-1]
    assert found.probe == measure_probe(predict_held_out(vectors, labels, None, 2), labels, None, (0, 1, 2))
    assert found.probe.accuracy == pytest.approx(1 - len(found.mistakes) / 10)
    of = dict(zip(features.uris, features.columns[LABEL].tolist(), strict=True))
    assert {each.uri: each.label for each in found.mistakes}.items() <= of.items()
    assert found.mistakes, "vectors of noise are mistaken"


def test_groups_go_in_by_a_column(output: str, tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    rows = [{"uri": f"images/{i:02}.jpg", "kind": "ab"[i % 2], "photo": i // 4} for i in range(12)]
    del rows[3]["photo"]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_pipeline(input=str(tmp_path / "m.jsonl"), columns="kind,photo")
    found = evaluate_output(str(tmp_path / "output"), column="kind", group_column="photo").by_label
    assert found is not None
    features = load_features(str(tmp_path / "output"))
    at = [int(Path(uri).stem) for uri in features.uris]
    labels, groups = np.array(at) % 2, np.array([3 if i == 3 else i // 4 for i in at])
    assert found.neighbours == measure_neighbours(
        find_nearest(features.vectors, NEIGHBOURS, groups=groups).images, labels, groups
    )
    assert found.neighbours != measure_neighbours(
        find_nearest(features.vectors, NEIGHBOURS, groups=None).images, labels, None
    )
    assert (found.probe and found.probe.folds, found.group_column) == (4, "photo")


def test_a_sample_is_evaluated_and_said(output: str) -> None:
    found = evaluate_output(output, sample=6, seed=1)
    assert (found.images_there, found.geometry.images) == (12, 6)
    assert found == evaluate_output(output, sample=6, seed=1)
    assert len({evaluate_output(output, sample=6, seed=seed).geometry.mean_norm for seed in range(6)}) > 3
    assert "6 of 12, a random sample (seed 1)" in as_text(found)
    assert "random" not in as_text(evaluate_output(output))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"column": "price"}, "the column 'price' is of float"),
        ({"column": "tags"}, "the column 'tags' is of list"),
        ({"column": LABEL, "group_column": "scores"}, "the column 'scores' is of list"),
        ({"column": "colour"}, "no column 'colour'; they have"),
        ({"group_column": "caption"}, "name the column of these, too"),
        ({"run_id": "night-3"}, "no published run 'night-3'"),
    ],
    ids=str,
)
def test_what_cannot_be_evaluated_is_refused(output: str, options: dict[str, str], sentence: str) -> None:
    with pytest.raises(RunError, match=sentence):
        evaluate_output(output, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"column": "image/format"}, "all of the 12 images have the label 'JPEG', .*nothing to tell apart"),
        ({"column": "caption"}, "no label is in 2 images: .*12 of labels in fewer than 2 images and 0 without one"),
        ({"column": LABEL, "group_column": LABEL}, f"no label is in 2 groups .'{LABEL}'.: there are 12 of labels"),
    ],
    ids=str,
)
def test_where_nothing_is_to_be_told_apart_it_is_said_and_the_rest_is_there(
    output: str, options: dict[str, str], sentence: str
) -> None:
    found = evaluate_output(output, **options)  # type: ignore[arg-type]
    assert found.geometry == evaluate_output(output).geometry
    assert found.by_label is not None
    assert (found.by_label.neighbours, found.by_label.probe) == (None, None)
    assert re.search(sentence, found.by_label.refused)
    assert found.by_label.refused in as_text(found)


def test_without_scikit_learn_what_needs_none_is_there(output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    assert evaluate_output(output).geometry.images == 12
    with pytest.raises(RunError, match=r"pip install 'embed-images\[evaluate\]'"):
        evaluate_output(output, column=LABEL)


def test_an_output_of_no_vectors_is_refused(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), run_id="a", incremental=True)
    run_pipeline(input=str(images), run_id="b", incremental=True)
    with pytest.raises(RunError, match="no vectors to evaluate"):
        evaluate_output(str(tmp_path / "output"), run_id="b")


def test_the_text_and_the_json_tell_what_was_found(output: str) -> None:
    found = evaluate_output(output, column=LABEL)
    by_label = found.by_label
    assert by_label is not None
    assert by_label.neighbours is not None
    assert by_label.probe is not None
    mistake = dataclasses.replace(by_label.mistakes[0], uri="photos/\x1b[2J.jpg", confident=True)
    other = dataclasses.replace(mistake, confident=False)
    many: Evaluation = dataclasses.replace(
        found, by_label=dataclasses.replace(by_label, mistakes=(mistake, *[other] * 24))
    )
    content: dict[str, Any] = json.loads(as_json(many))
    assert content["geometry"] == dataclasses.asdict(found.geometry)
    told = content["by_label"]
    assert (told["contradicted"], told["contradicted_confidently"], len(told["mistakes"])) == (25, 1, 20)
    assert told["neighbours"]["recall"]["5"] == by_label.neighbours.recall[5]
    assert told["probe"]["confusions"] == [vars(each) for each in by_label.probe.confusions]
    text = as_text(many)
    assert "\x1b" not in text
    assert text.count("photos/\\x1b[2J.jpg") == 20
    assert "likely label mistakes, 20 of 25" in text
    lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in text.splitlines()}
    assert lines["labels"] == f"3 in {LABEL}, of 10 images"
    assert lines["recall@10"].startswith(f"{by_label.neighbours.recall[10]:.3f} (by chance ")
    assert lines["linear probe"].startswith(f"{by_label.probe.accuracy:.3f} (95 % interval {by_label.probe.low:.3f} to")
    assert lines["contradicted"] == "25 labels, 1 of them confidently"
