"""Drift: what is compared, held against NumPy, and when it is said to matter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pipeline.outputs.history import published_runs
from pipeline.report.drift import Drift, measure_drift
from tests.pipeline.report.made import publish

FEATURES = 6
RANDOM = np.random.default_rng(3)


def vectors(count: int, shift: float = 0.0, features: int = FEATURES) -> np.ndarray:
    return (np.abs(RANDOM.normal(1, 0.5, (count, features))) + shift).astype(np.float32)


def uris(first: int, count: int) -> list[str]:
    return [f"/images/{i:05}.jpg" for i in range(first, first + count)]


def drift(output: Path, number: int, sample: int = 20_000) -> Drift:
    runs = published_runs(str(output), all_of_them=True)
    (run,) = [each for each in runs if each.run_id == f"night-{number}"]
    return measure_drift(runs, run, sample, 0)


def test_the_same_vectors_do_not_matter(tmp_path: Path) -> None:
    same = vectors(60)
    publish(tmp_path, 1, uris(0, 60), same)
    publish(tmp_path, 2, uris(0, 60), same * np.float32(1 + 1e-6))
    found = drift(tmp_path, 2)
    assert found.matters is False
    assert found.sentences[0].startswith(
        "It does not matter: the 60 images that both embedded have a mean cosine of 1.0"
    )
    assert (found.before, found.there_before, found.now, found.shared) == ("night-1", 60, 60, 60)
    assert found.distance == pytest.approx(0, abs=1e-6)
    assert drift(tmp_path, 1).sentences == ("Not compared: there is no run before this one that has vectors.",)


def test_other_vectors_of_the_same_images_matter(tmp_path: Path) -> None:
    before = vectors(80)
    now = before + RANDOM.normal(0, 0.6, before.shape).astype(np.float32)
    publish(tmp_path, 1, uris(0, 80), before)
    publish(tmp_path, 2, uris(20, 60), now[20:], preprocessing={"version": 1, "resize": "fit_crop"})
    found = drift(tmp_path, 2)
    a, b = before[20:].astype(np.float64), now[20:].astype(np.float64)
    cosines = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert found.shared == 60
    assert found.shared_cosine == pytest.approx(cosines.mean(), rel=1e-6)
    assert found.shared_least == pytest.approx(cosines.min(), rel=1e-6)
    lengths = np.linalg.norm(b, axis=1) / np.linalg.norm(a, axis=1) - 1
    assert found.shared_length == pytest.approx(lengths.mean(), rel=1e-4)
    assert found.norm_before == pytest.approx(np.linalg.norm(before, axis=1).mean(), rel=1e-6)
    assert found.norm_now == pytest.approx(np.linalg.norm(b, axis=1).mean(), rel=1e-6)
    first, second = np.cov(before.astype(np.float64), rowvar=False), np.cov(b, rowvar=False)
    difference = before.mean(axis=0, dtype=np.float64) - b.mean(axis=0)
    wanted = difference @ difference + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert found.distance == pytest.approx(wanted, rel=1e-4)
    assert found.matters is True
    assert "the same images no longer have the same vectors" in found.sentences[0]
    assert found.differing == (("resize", "squash", "fit_crop"),)
    assert found.sentences[-1] == (
        "The two are of different generations: resize (was squash, is fit_crop). "
        "Their vectors are not to be compared or mixed."
    )


def test_vectors_of_another_kind_of_images_matter(tmp_path: Path) -> None:
    """A night that adds images that are like those before does not matter, one that adds others does."""
    publish(tmp_path, 1, uris(0, 300), vectors(300))
    publish(tmp_path, 2, uris(300, 40), vectors(40))
    publish(tmp_path, 3, uris(340, 40), vectors(40, 1.0))
    alike, other = drift(tmp_path, 2), drift(tmp_path, 3)
    assert (alike.matters, alike.shared, alike.shared_cosine) == (False, 0, None)
    assert "as a whole the vectors are of the same kind as before" in alike.sentences[0]
    assert "No image was embedded again at the same version" in alike.sentences[-1]
    assert (other.matters, other.there_before) == (True, 340)
    assert "as a whole the vectors are of another kind than before" in other.sentences[0]
    assert other.distance is not None
    assert other.by_chance is not None
    assert other.distance > 3 * other.by_chance


def test_another_version_of_an_image_is_another_image(tmp_path: Path) -> None:
    publish(tmp_path, 1, uris(0, 12), vectors(12))
    publish(tmp_path, 2, uris(0, 12), vectors(12), version="2")
    publish(tmp_path, 3, uris(0, 12), vectors(12), version="")
    publish(tmp_path, 4, uris(0, 12), vectors(12), version="")
    assert [drift(tmp_path, number).shared for number in (2, 3, 4)] == [0, 0, 0]


def test_the_newest_vectors_before_are_compared(tmp_path: Path) -> None:
    old, new = vectors(30), vectors(30)
    publish(tmp_path, 1, uris(0, 30), old)
    publish(tmp_path, 2, uris(0, 15), new[:15])
    publish(tmp_path, 3, uris(0, 30), np.concatenate([new[:15], old[15:]]))
    found = drift(tmp_path, 3)
    assert (found.shared, found.there_before) == (30, 30)
    assert found.shared_cosine == pytest.approx(1, abs=1e-6)


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    publish(tmp_path, 1, uris(0, 20), vectors(20))
    publish(tmp_path, 2, uris(0, 20), vectors(20, features=FEATURES + 1), model="1" * 64)
    publish(tmp_path, 3, [], vectors(0, features=FEATURES + 1), model="1" * 64)
    publish(tmp_path, 4, uris(40, 3), vectors(3, features=FEATURES + 1), model="1" * 64)
    other, none, few = (drift(tmp_path, number) for number in (2, 3, 4))
    assert other.matters is True
    assert other.sentences[0] == "It matters: vectors had 6 values in night-1 and have 7 now."
    assert (none.matters, none.sentences[0]) == (None, "Not compared: this run has no vectors.")
    assert (few.before, few.matters, few.sentences[0]) == ("night-2", None, "Not compared: there is too little.")
    assert few.norm_now is not None


def test_vectors_of_another_length_matter(tmp_path: Path) -> None:
    """Too few to say anything of them as a whole, and of the same directions."""
    same = vectors(5)
    publish(tmp_path, 1, uris(0, 5), same)
    publish(tmp_path, 2, uris(0, 5), same * np.float32(1.02))
    found = drift(tmp_path, 2)
    assert (found.matters, found.distance) == (True, None)
    assert found.shared_cosine == pytest.approx(1)
    assert "lengths that are +2.0% on average" in found.sentences[0]


def test_zeros_are_the_same_as_zeros(tmp_path: Path) -> None:
    same = vectors(12)
    same[3] = 0
    publish(tmp_path, 1, uris(0, 12), same)
    publish(tmp_path, 2, uris(0, 12), same)
    assert drift(tmp_path, 2).shared_cosine == pytest.approx(1)


def test_large_sets_are_sampled(tmp_path: Path) -> None:
    publish(tmp_path, 1, uris(0, 50), vectors(50))
    publish(tmp_path, 2, uris(0, 50), vectors(50))
    found = drift(tmp_path, 2, sample=20)
    assert (found.now, found.there_before, found.shared, found.compared) == (50, 50, 20, (50, 20))
