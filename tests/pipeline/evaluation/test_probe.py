"""The probe and its mistakes on sets whose answer is known."""

from __future__ import annotations

import json
import math
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.optimize import brentq

from pipeline.errors import RunError
from pipeline.evaluation import probe
from pipeline.evaluation.mistakes import Mistake, find_mistakes, write_mistakes
from pipeline.evaluation.neighbours import NEIGHBOURS, find_nearest, measure_neighbours
from pipeline.evaluation.probe import Predictions, check_installed, measure_probe, predict_held_out, wilson

NAMES = ("a", "b", "c")


def clusters(labels: np.ndarray, dimensions: int = 10, seed: int = 3) -> np.ndarray:
    """Vectors around a center for each label, far from each other."""
    random = np.random.default_rng(seed)
    centers = 6 * np.eye(dimensions)[: labels.max() + 1]
    return np.asarray(centers[labels] + random.normal(size=(len(labels), dimensions)), np.float32)


def accuracy(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> float:
    found = predict_held_out(vectors, labels, groups, 0)
    return measure_probe(found, labels, groups, range(labels.max() + 1)).accuracy


@pytest.mark.parametrize("few", [300, 299])
def test_few_images_are_fitted_by_one_thread(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that wait for each other take longer than what they do, where others keep the cores busy."""
    limits = []
    monkeypatch.setattr(probe, "FEW", few)
    monkeypatch.setattr("threadpoolctl.threadpool_limits", lambda limit: limits.append(limit) or nullcontext())
    labels = np.arange(300) % 3
    assert accuracy(clusters(labels), labels) == 1
    assert limits == [1 if few == 300 else None]


def test_clusters_are_told_apart_and_shuffled_labels_are_not() -> None:
    labels = np.arange(300) % 3
    assert accuracy(clusters(labels), labels) == 1
    shuffled = np.random.default_rng(1).permutation(labels)
    assert accuracy(clusters(labels), shuffled) == pytest.approx(1 / 3, abs=0.12)


def test_probabilities_are_of_classifiers_that_were_not_shown_the_image() -> None:
    """Held against scikit-learn's own cross-validation: the same cut, scaled and trained on the rest."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    labels = np.random.default_rng(4).integers(0, 3, 120)
    vectors = clusters(labels) / 4
    found = predict_held_out(vectors, labels, None, 5)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=probe.C, max_iter=1000))
    cut = StratifiedKFold(5, shuffle=True, random_state=5)
    expected = cross_val_predict(classifier, vectors, labels, cv=cut, method="predict_proba")
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    assert (found.folds, found.converged) == (5, True)
    np.testing.assert_array_equal(predict_held_out(vectors, labels, None, 5).probabilities, found.probabilities)
    assert (predict_held_out(vectors, labels, None, 6).probabilities != found.probabilities).any()


def test_crops_of_one_photo_leak_unless_they_are_grouped() -> None:
    """Each photo looks like itself only, and its label is a coin's: who was not shown it cannot know."""
    random = np.random.default_rng(2)
    photos = random.normal(size=(60, 400))
    groups = np.repeat(np.arange(60), 5)
    labels = random.permutation(np.arange(60) % 2)[groups]
    crops = (photos[groups] + 0.05 * random.normal(size=(300, 400))).astype(np.float32)
    assert accuracy(crops, labels) > 0.95
    assert accuracy(crops, labels, groups) == pytest.approx(0.5, abs=0.2)
    assert measure_neighbours(find_nearest(crops, NEIGHBOURS, groups=None).images, labels, None).recall[1] == 1
    grouped = measure_neighbours(find_nearest(crops, NEIGHBOURS, groups=groups).images, labels, groups)
    assert grouped.recall[1] == pytest.approx(0.5, abs=0.2)
    assert grouped.knn_accuracy == pytest.approx(0.5, abs=0.2)


def test_the_interval_of_groups_is_one_of_fewer_trials() -> None:
    labels = np.arange(100) % 2
    probabilities = np.eye(2, dtype=np.float32)[labels]
    probabilities[:10] = 0.5 + 0.1 * (0.5 - probabilities[:10])
    alone = measure_probe(Predictions(probabilities, 5, True), labels, None, NAMES)
    grouped = measure_probe(Predictions(probabilities, 5, True), labels, np.arange(100) // 4, NAMES)
    assert alone.accuracy == grouped.accuracy == 0.9
    assert (alone.low, alone.high) == wilson(0.9, 100)
    assert (grouped.low, grouped.high) == wilson(0.9, 25)


@pytest.mark.parametrize(("share", "trials"), [(0.9, 50), (0.5, 7), (0.031, 1000)])
def test_the_ends_of_the_interval_are_where_the_share_is_just_not_refuted(share: float, trials: int) -> None:
    """A share p is refuted at 5 % when the found one is farther than 1.96 standard errors of p from it."""

    def distance(p: float) -> float:
        return abs(share - p) - 1.959964 * math.sqrt(p * (1 - p) / trials)

    expected = brentq(distance, 1e-12, share), brentq(distance, share, 1 - 1e-12)
    assert wilson(share, trials) == pytest.approx(expected, abs=1e-6)


def test_the_interval_stays_within_0_and_1() -> None:
    assert wilson(1, 20) == pytest.approx((20 / (20 + 1.959964**2), 1))
    assert wilson(0, 20)[0] == 0


def test_confusions_are_counted_the_most_frequent_first() -> None:
    labels = np.array([0] * 6 + [1] * 5 + [2] * 4)
    predicted = np.array([0, 0, 1, 1, 2, 0, 1, 0, 0, 0, 1, 2, 2, 2, 2])
    found = measure_probe(Predictions(np.eye(3, dtype=np.float32)[predicted], 5, True), labels, None, NAMES)
    shown = [(each.label, each.predicted, each.images) for each in found.confusions]
    assert shown == [("b", "a", 3), ("a", "b", 2), ("a", "c", 1)]
    assert found.accuracy == 9 / 15


def test_labels_of_two_images_and_of_two_groups_are_probed() -> None:
    labels = np.array([0, 0, 1, 1, 1, 2, 2])
    found = predict_held_out(clusters(labels), labels, None, 0)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert found.folds == 3


@pytest.mark.parametrize(
    ("labels", "groups", "folds", "unknown"),
    [
        ([0, 0, 1, 1], [0, 1, 0, 1], 2, 0),
        ([0, 0, 1, 1], [0, 1, 2, 1], 2, 1),  # the only label that is left
        ([0, 0, 0, 1, 1, 2, 2, 2], [0, 0, 1, 2, 1, 3, 0, 1], 3, 1),  # one of three is not
        ([0, 0, 0, 0, 0, 0, 1, 1, 1], [3, 2, 3, 0, 2, 0, 2, 1, 1], 3, 0),  # four parts, of which one is empty
    ],
)
def test_few_groups_are_probed(labels: list[int], groups: list[int], folds: int, unknown: int) -> None:
    """The numbers of parts in which a label is unknown were found by looking at what scikit-learn cuts."""
    found = predict_held_out(clusters(np.array(labels)), np.array(labels), np.array(groups), 0)
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-5)
    assert found.folds == folds
    assert len({group for row, group in zip(found.probabilities, groups, strict=True) if (row == 0).any()}) >= unknown


def test_fits_that_do_not_come_to_their_end_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "MAX_ITERATIONS", 1)
    labels = np.arange(60) % 3
    assert not predict_held_out(clusters(labels), labels, None, 0).converged


def test_planted_mistakes_are_found_first() -> None:
    true = np.arange(400) % 4
    planted = np.random.default_rng(8).choice(400, 12, replace=False)
    labels = true.copy()
    labels[planted] = (true[planted] + 1 + planted % 3) % 4
    vectors = clusters(true)
    found = predict_held_out(vectors, labels, None, 0)
    mistakes = find_mistakes(found.probabilities, labels, "abcd", [str(i) for i in range(400)])
    assert {int(each.uri) for each in mistakes[:12]} == set(planted.tolist())
    for each in mistakes[:12]:
        assert each.label == "abcd"[labels[int(each.uri)]]
        assert each.suggested == "abcd"[true[int(each.uri)]]
        assert each.suggested_probability - each.label_probability > 0.3
    assert sum(each.confident for each in mistakes) >= 6  # some of each label are less probable than is usual
    assert find_mistakes(predict_held_out(vectors, true, None, 0).probabilities, true, "abcd", [""] * 400) == ()


def test_mistakes_are_confident_where_the_other_label_is_as_probable_as_it_usually_is() -> None:
    # The usual probability of a is (0.9 + 0.3 + 0.5 + 0.1) / 4 = 0.45, of b (0.46 + 0.8 + 0.9) / 3 = 0.72.
    a = np.array([0.9, 0.3, 0.5, 0.1, 0.54, 0.2, 0.1])
    probabilities = np.stack([a, 1 - a], axis=1)
    found = find_mistakes(probabilities, np.array([0, 0, 0, 0, 1, 1, 1]), NAMES, list("rstuvwx"))
    expected = [("u", "a", "b", 0.1, True), ("s", "a", "b", 0.3, False), ("v", "b", "a", 0.46, True)]
    assert [(each.uri, each.label, each.suggested, each.confident) for each in found] == [
        (uri, label, suggested, confident) for uri, label, suggested, _, confident in expected
    ]
    for each, (*_, probability, _) in zip(found, expected, strict=True):
        assert each.label_probability == pytest.approx(probability)
        assert each.suggested_probability == pytest.approx(1 - probability)


@pytest.mark.parametrize(
    "mistakes", [(Mistake("ü", 3, -4, 0.125, 0.5, True), Mistake("x", 0, 1, 0.25, 0.75, False)), ()]
)
def test_mistakes_are_written_as_they_are(tmp_path: Path, mistakes: tuple[Mistake, ...]) -> None:
    rows = [vars(each) for each in mistakes]
    write_mistakes(mistakes, "int64", str(tmp_path / "m.jsonl"))
    assert [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()] == rows
    write_mistakes(mistakes, "int64", str(tmp_path / "m.parquet"))
    table = pq.read_table(tmp_path / "m.parquet")
    assert table.to_pylist() == rows
    assert str(table.schema.field("suggested").type) == "int64"


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(RunError, match=r"pip install 'embed-images\[evaluate\]'"):
        check_installed()
