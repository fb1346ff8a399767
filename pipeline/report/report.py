"""embed-images report: the story. A run's files and the vectors of its output are read, looked at, and made a page."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from pipeline.console.logs import logger
from pipeline.errors import RunError
from pipeline.evaluation.geometry import Geometry, measure_geometry
from pipeline.evaluation.neighbours import find_nearest
from pipeline.outputs.features import Features
from pipeline.outputs.history import PublishedRun, published_runs
from pipeline.outputs.selection import run_of
from pipeline.report.closeness import Groups, Neighbours, all_neighbours, find_groups
from pipeline.report.drift import Drift, measure_drift
from pipeline.report.mapping import ImageMap, draw_map
from pipeline.report.outcomes import Outcomes, read_outcomes
from pipeline.report.pace import Pace, read_pace
from pipeline.report.projection import principal_components, project
from pipeline.report.thumbnails import Picture, take_pictures
from pipeline.report.vectors import Looked, describe, load_vectors
from transforms.records.arrow import VERSION
from transforms.stores import storage

SAMPLE = 20_000
PICTURES = 300
MAP_NEIGHBOURS = 5


@dataclass(frozen=True)
class Vectors:
    """What the vectors are like, and who is near whom.

    Attributes:
        looked: how many they are, and what of.
        geometry: see `measure_geometry`.
        shares: of the variance, of the first principal components.
        groups: near duplicates.
        neighbours: of some images.
        why_pca: why the map is not by UMAP, where that could have been; "".
    """

    looked: Looked
    geometry: Geometry
    shares: tuple[float, ...]
    groups: Groups
    neighbours: tuple[Neighbours, ...]
    why_pca: str


@dataclass(frozen=True)
class Report:
    """All that a page tells.

    Attributes:
        output: that it is about.
        made: when, in UTC.
        run: whose outcomes and pace are told.
        outcomes, pace, drift: of that run.
        vectors: None where there are none.
        image_map: of them.
        pictures: by uri, of the images that the page shows or some of the map's.
    """

    output: str
    made: str
    run: PublishedRun
    outcomes: Outcomes
    pace: Pace
    drift: Drift
    vectors: Vectors | None
    image_map: ImageMap | None
    pictures: dict[str, Picture]


def make_report(
    output: str,
    *,
    run_id: str = "",
    uris: Sequence[str] = (),
    columns: Sequence[str] | None = None,
    projection: str = "auto",
    sample: int = SAMPLE,
    pictures: int = PICTURES,
    seed: int = 0,
) -> Report:
    """Looks at a run and at the vectors of an output.

    Work grows with images x images x features, of `sample` images at most; memory is some five times the vectors that
    are looked at.

    Args:
        run_id: the run, all of whose vectors are looked at; "" for the newest run, and the newest vectors of all
            images that are not gone.
        uris: images of the output whose nearest others are shown; none for some that are unlike each other.
        columns: that give the map colors, None for all that runs carry.
        projection: of `projection.METHODS`; "auto" is UMAP where it is installed.
        sample: of more images than this, so many are taken at random.
        pictures: how many images the page shows at most.
        seed: of samples, of UMAP and of what chance would give.

    Raises:
        RunError: no such run, column or image, or no matplotlib.
        OutputError: a run that is needed cannot be read.
    """
    check_installed()
    output = storage.normalize(output)
    runs = published_runs(output, all_of_them=not run_id)
    if not runs:
        raise RunError(f"{output}: no published run; they lie in {storage.join(output, 'runs')}")
    run = runs[-1] if not run_id else run_of(output, run_id)
    logger.info("report: run %s of %d in %s", run.run_id, len(runs), output)
    report = Report(
        output=output,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        run=run,
        outcomes=read_outcomes(run),
        pace=read_pace(run.manifest),
        drift=measure_drift(runs, run, sample, seed),
        vectors=None,
        image_map=None,
        pictures={},
    )
    there, found = load_vectors(output, run_id, columns, sample, seed)
    if not len(found.vectors):
        return report
    logger.info("report: %d of %d vectors", len(found.vectors), there.count)
    nearest = find_nearest(found.vectors, min(MAP_NEIGHBOURS, len(found.vectors) - 1))
    principal = principal_components(found.vectors)
    projected = project(found.vectors, principal, projection, seed)
    vectors = Vectors(
        looked=describe(there, found, run_id),
        geometry=measure_geometry(found.vectors, nearest.closest),
        shares=principal.shares,
        groups=find_groups(found.uris, found.vectors),
        neighbours=all_neighbours(output, run_id, uris, found.uris, found.vectors),
        why_pca=projected.why_pca if projection != "auto" else "",
    )
    image_map = draw_map(projected, found.table, nearest.images, nearest.cosines)
    logger.info("report: pictures of up to %d images", pictures)
    versions = dict(zip(found.uris, found.table[VERSION].to_pylist(), strict=True))
    wanted = _by_need(vectors, found, seed)
    return replace(report, vectors=vectors, image_map=image_map, pictures=take_pictures(wanted, versions, pictures))


def check_installed() -> None:
    """Raises RunError when what draws the charts is not installed."""
    if importlib.util.find_spec("matplotlib") is None:
        raise RunError("a report needs matplotlib, which is not installed: pip install 'embed-images[report]'")


def _by_need(vectors: Vectors, found: Features, seed: int) -> Iterator[str]:
    """Images in the order in which a page wants their pictures: those that it always shows, then any of the map."""
    for each in vectors.neighbours:
        yield each.uri
        yield from (near.uri for near in each.nearest)
    for group in vectors.groups.shown:
        yield from group.uris
    uris = found.uris
    for row in np.random.default_rng(seed).permutation(len(uris)).tolist():
        yield uris[row]
