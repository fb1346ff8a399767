"""Whether the vectors of a run are of a kind with those that were there before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.outputs.features import Features, load_selection
from pipeline.outputs.history import PublishedRun
from pipeline.outputs.latest import newest_rows, rows_by_shard
from pipeline.outputs.selection import Selection
from pipeline.report.frechet import frechet_distance
from pipeline.report.vectors import norms_of
from pipeline.vectors.scoring import cosines_to

# Vectors of each side of which the distance is taken: it costs with the third power of their number, or of features.
COMPARED = 4000
LEAST_COMPARED = 10
SPLITS = 5
# Vectors of the same images that are this near are the same but for rounding, of other engines and machines as well.
SAME_COSINE = 0.999
NORM_SHIFT = 0.01
DISTANCE_RATIO = 1.5


@dataclass(frozen=True)
class Drift:
    """Attributes:
    before: the id of the run before; "" where there is none.
    matters: None where nothing could be compared.
    sentences: what was found, the first one saying whether it matters.
    differing: what the generations do not have in common, and how: (name, before, now).
    now, there_before: vectors of the run, and those that were there before it.
    shared: images of both, of the same version, that were looked at.
    shared_cosine, shared_least: of their vectors, the mean and the least; None where there are none.
    shared_length: how much longer they are now on average: 0 of the same length; None likewise.
    norm_before, norm_now: mean lengths of the compared; None where they were not.
    distance: the squared Fréchet distance; None where it was not taken.
    by_chance: the largest of `SPLITS` such, of the same vectors dealt out at random; None likewise.
    compared: of each side, (before, now), that these two are of.
    """

    before: str
    matters: bool | None
    sentences: tuple[str, ...]
    differing: tuple[tuple[str, str, str], ...] = ()
    now: int = 0
    there_before: int = 0
    shared: int = 0
    shared_cosine: float | None = None
    shared_least: float | None = None
    shared_length: float | None = None
    norm_before: float | None = None
    norm_now: float | None = None
    distance: float | None = None
    by_chance: float | None = None
    compared: tuple[int, int] = (0, 0)


def measure_drift(runs: Sequence[PublishedRun], run: PublishedRun, sample: int, seed: int) -> Drift:
    """Compares what a run embedded with the newest vectors as the run before had left them.

    Args:
        runs: all of the output, the newest last; `run` is among them.
        sample: vectors of each side that are looked at.

    Raises:
        OutputError: a record or ledger cannot be read.
    """
    earlier = [each for each in runs[: [each.run_id for each in runs].index(run.run_id)] if each.manifest["shards"]]
    if run.compacted:
        return Drift("", None, ("Not compared: this run is a compaction, which holds the vectors of others.",))
    if not earlier:
        return Drift("", None, ("Not compared: there is no run before this one that has vectors.",))
    last = earlier[-1]
    differing = _differing(last.generation, run.generation)
    now = newest_rows([run])
    before = newest_rows([each for each in earlier if each.generation == last.generation])
    found = Drift(last.run_id, None, (), differing, len(now), len(before))
    features = last.manifest["model"]["feature_dim"], run.manifest["model"]["feature_dim"]
    if features[0] != features[1]:
        said = f"It matters: vectors had {features[0]:,} values in {last.run_id} and have {features[1]:,} now."
        return _with(found, matters=True, sentences=(said, *_of_generations(differing)))
    if not len(now):
        return _with(found, sentences=("Not compared: this run has no vectors.",))
    random = np.random.default_rng(seed)
    ours = _load(run, _drawn(now, sample, random))
    shared = _shared(ours.table, before)
    again = _load(last, _drawn(before.filter(shared), sample, random))
    found = _with(found, **_same_images(again, ours))
    theirs = _load(last, _drawn(before, COMPARED, random)).vectors
    found = _with(found, **_as_wholes(theirs, ours.vectors, random))
    return _judged(found)


def _with(drift: Drift, **changes: Any) -> Drift:
    return Drift(**{**drift.__dict__, **changes})


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Entries of generations that are not the same, those of `preprocessing` one by one."""
    flat = [{**each, **each.get("preprocessing", {})} for each in (before, now)]
    names = [name for name in dict.fromkeys([*flat[0], *flat[1]]) if name != "preprocessing"]
    pairs = [(name, flat[0].get(name), flat[1].get(name)) for name in names]
    return tuple((name, _shown(a), _shown(b)) for name, a, b in pairs if a != b)


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else text[:12] + "…"


def _drawn(rows: pa.Table, count: int, random: np.random.Generator) -> pa.Table:
    if len(rows) <= count:
        return rows
    return rows.take(pa.array(np.sort(random.choice(len(rows), count, replace=False))))


def _load(run: PublishedRun, rows: pa.Table) -> Features:
    return load_selection(Selection(run.manifest["model"]["feature_dim"], (), list(rows_by_shard(rows)), run))


def _shared(ours: pa.Table, before: pa.Table) -> pa.Array:
    """Which rows of `before` are of images of ours, of the same version, which is known."""
    keys = [pc.binary_join_element_wise(each["uri"], each["version"], "\n") for each in (before, ours)]
    known = pc.not_equal(before["version"], "")
    return pc.and_(pc.is_in(keys[0], keys[1].combine_chunks()), known)


def _same_images(again: Features, ours: Features) -> dict[str, Any]:
    if not len(again.vectors):
        return {}
    places = {uri: row for row, uri in enumerate(ours.uris)}
    same = ours.vectors[[places[uri] for uri in again.uris]]
    cosines = np.where((same == again.vectors).all(axis=1), 1.0, cosines_to(same, again.vectors))  # zeros have none
    before, now = norms_of(again.vectors), norms_of(same)
    longer = np.divide(now - before, before, out=np.zeros_like(before), where=before > 0)
    return {
        "shared": len(cosines),
        "shared_cosine": float(cosines.mean()),
        "shared_least": float(cosines.min()),
        "shared_length": float(longer.mean()),
    }


def _as_wholes(theirs: np.ndarray, ours: np.ndarray, random: np.random.Generator) -> dict[str, Any]:
    if len(ours) > COMPARED:
        ours = ours[np.sort(random.choice(len(ours), COMPARED, replace=False))]
    found: dict[str, Any] = {
        "norm_before": float(norms_of(theirs).mean()),
        "norm_now": float(norms_of(ours).mean()),
        "compared": (len(theirs), len(ours)),
    }
    if min(len(theirs), len(ours)) < LEAST_COMPARED:
        return found
    both = np.concatenate([theirs, ours])
    dealt = []
    for _ in range(SPLITS):
        order = random.permutation(len(both))
        dealt.append(frechet_distance(both[order[: len(theirs)]], both[order[len(theirs) :]]))
    return {**found, "distance": frechet_distance(theirs, ours), "by_chance": max(dealt)}


def _judged(found: Drift) -> Drift:
    """With the sentences, and whether it matters."""
    reasons, calm = [], []
    if found.shared_cosine is not None and found.shared_length is not None:
        images = f"the {found.shared:,} images that both embedded have a mean cosine of {found.shared_cosine:.4f}"
        images += " to their earlier vectors"
        if abs(found.shared_length) > NORM_SHIFT / 10:
            images += f", and lengths that are {found.shared_length:+.1%} on average"
        if found.shared_cosine < SAME_COSINE or abs(found.shared_length) > NORM_SHIFT:
            reasons.append(f"{images}: the same images no longer have the same vectors")
        else:
            calm.append(f"{images}: the same images have the same vectors")
    if found.norm_before and found.norm_now is not None:
        shift = found.norm_now / found.norm_before - 1
        if found.distance is not None and found.by_chance is not None:
            ratio = f"a Fréchet distance of {found.distance:.4g}, where chance alone gives up to {found.by_chance:.4g}"
            if found.distance > DISTANCE_RATIO * found.by_chance:
                moved = f", and lengths that are {shift:+.1%} on average" if abs(shift) > NORM_SHIFT else ""
                reasons.append(f"as a whole the vectors are of another kind than before, with {ratio}{moved}")
            else:
                calm.append(f"as a whole the vectors are of the same kind as before, with {ratio}")
    notes = list(_of_generations(found.differing))
    if not found.shared:
        notes.append("No image was embedded again at the same version, so it was not measured whether vectors are the")
        notes[-1] += " same for the same image."
    if found.distance is None:
        notes.append(f"Of fewer than {LEAST_COMPARED} vectors on a side nothing is said as a whole.")
    if not reasons and not calm:
        said = "It matters: the generations differ." if found.differing else "Not compared: there is too little."
        return _with(found, matters=True if found.differing else None, sentences=(said, *notes))
    matters = bool(reasons or found.differing)
    if not reasons and found.differing:
        reasons = ["vectors of two generations are not to be mixed, however near these are"]
    told = "; ".join(reasons if matters else calm)
    others = [f"{each[0].upper()}{each[1:]}." for each in calm] if matters else []
    verdict = "It matters" if matters else "It does not matter"
    return _with(found, matters=matters, sentences=(f"{verdict}: {told}.", *others, *notes))


def _of_generations(differing: Sequence[tuple[str, str, str]]) -> tuple[str, ...]:
    if not differing:
        return ()
    told = ", ".join(f"{name} (was {before}, is {now})" for name, before, now in differing)
    return (f"The two are of different generations: {told}. Their vectors are not to be compared or mixed.",)
