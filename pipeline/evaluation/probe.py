"""A linear probe: how well a linear classifier on the vectors tells the labels of images that it was not shown."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.errors import RunError
from pipeline.evaluation.labels import Label

FOLDS = 5
# Of scikit-learn's LogisticRegression. Its default, 1.0, fits wrong labels as well, where there are as many dimensions
# as images: on the faces of docs/labels.md, 20 of 200 of them with wrong labels, 18 of the 20 first mistakes were wrong
# labels with 1.0, 19.6 with 0.01 (mean of 5 seeds). The accuracy with true labels was the same.
C = 0.01
# Of images, up to which a fit takes one thread. On two cores that others kept busy, `evaluate` of 64 images took 11 to
# 80 s with as many threads as cores, and 4 to 5 s with one; the fits of 2,000 images 3.5 s and 0.3 s.
FEW = 2000
MAX_ITERATIONS = 1000
CONFUSIONS = 10
Z_95 = 1.959964  # of the normal distribution, both sides


@dataclass(frozen=True)
class Confusion:
    """How many images of a label were taken for another."""

    label: Label
    predicted: Label
    images: int


@dataclass(frozen=True)
class ProbeFigures:
    """What the probe made of images, each of which was held out once.

    Attributes:
        accuracy: the share that it gave their label.
        low, high: the 95 % interval of that, see `wilson`.
        folds: into how many parts the images were cut.
        converged: whether the fits came to their end within `MAX_ITERATIONS`.
        confusions: the most frequent ones, at most `CONFUSIONS`.
    """

    accuracy: float
    low: float
    high: float
    folds: int
    converged: bool
    confusions: tuple[Confusion, ...]


@dataclass(frozen=True)
class Predictions:
    """Of images that were held out.

    Attributes:
        probabilities: float32 [N, labels], of each label.
        folds, converged: as of `ProbeFigures`.
    """

    probabilities: np.ndarray
    folds: int
    converged: bool


def check_installed() -> None:
    """Raises RunError when scikit-learn is not."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise RunError(
            "figures by labels need scikit-learn: pip install 'embed-images[evaluate]'; those that need no labels"
            " come without --column"
        ) from None


def predict_held_out(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None, seed: int) -> Predictions:
    """Predicts the label of each image by a classifier that was trained without it, and without its group.

    The images are cut into `FOLDS` parts (fewer where there are fewer groups, or fewer images of every label) with the
    labels spread evenly. For each part, scikit-learn's LogisticRegression is trained on the others, on vectors that are
    standardized by these others; a label that none of these has gets the probability 0. Memory: some three times the
    vectors, besides the probabilities.

    Args:
        vectors: float32 [N, D].
        labels: int [N], 0 to the number of labels - 1, two or more of them; each has two images or more (groups, where
            there are some).
        groups: int [N], from 0; None for groups of one.
        seed: of the cut.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits  # which scikit-learn needs

    times = np.bincount(labels)
    most = len(labels) if groups is None else int(groups.max()) + 1
    parts, folds = min(FOLDS, most, int(times.max())), 0
    cut = (StratifiedKFold if groups is None else StratifiedGroupKFold)(parts, shuffle=True, random_state=seed)
    probabilities = np.zeros((len(labels), len(times)), np.float32)
    converged = True
    with warnings.catch_warnings(), threadpool_limits(1 if len(labels) <= FEW else None):
        warnings.simplefilter("ignore", UserWarning)  # labels of few images, and fits that did not converge
        for shown, held_out in cut.split(np.zeros(len(labels)), labels, groups):
            if not len(held_out):  # as happens with few groups
                continue
            folds += 1
            known = np.unique(labels[shown])
            if len(known) == 1:
                probabilities[held_out, known[0]] = 1
                continue
            scaler = StandardScaler(copy=False)
            training = scaler.fit_transform(vectors[shown])
            classifier = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(training, labels[shown])
            del training
            converged &= int(classifier.n_iter_.max()) < MAX_ITERATIONS
            found = classifier.predict_proba(scaler.transform(vectors[held_out]))
            probabilities[np.ix_(held_out, known)] = found
    return Predictions(probabilities, folds, converged)


def measure_probe(
    predictions: Predictions, labels: np.ndarray, groups: np.ndarray | None, names: Sequence[Label]
) -> ProbeFigures:
    """Figures of what `predict_held_out` gave.

    The interval is that of as many trials as there are images, or groups: of images of one group the one tells what the
    other will do. It takes the cut as it is, and another one (another seed) moves the accuracy by a little.
    """
    predicted = predictions.probabilities.argmax(axis=1)
    accuracy = float((predicted == labels).mean())
    trials = len(labels) if groups is None else int(groups.max()) + 1
    low, high = wilson(accuracy, trials)
    wrong = predicted != labels
    pairs, times = np.unique(np.stack([labels[wrong], predicted[wrong]]), axis=1, return_counts=True)
    first = np.argsort(-times, kind="stable")[:CONFUSIONS]
    confusions = [Confusion(names[pairs[0, i]], names[pairs[1, i]], int(times[i])) for i in first.tolist()]
    return ProbeFigures(accuracy, low, high, predictions.folds, predictions.converged, tuple(confusions))


def wilson(share: float, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share of so many trials (Wilson 1927, JASA 22, pages 209 to 212)."""
    z = Z_95**2 / trials
    middle = (share + z / 2) / (1 + z)
    half = Z_95 / (1 + z) * math.sqrt(share * (1 - share) / trials + z / (4 * trials))
    return max(0.0, middle - half), min(1.0, middle + half)
