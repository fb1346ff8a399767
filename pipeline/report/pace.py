"""How fast a run was, and where its time went, as far as its manifest tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

# A point a shard, up to so many; of more, every so many-th.
MOST_POINTS = 200
MOST_SHARDS = 40

UNTOLD_PHASES = "Where the time went is not in its manifest: earlier versions, and compactions, do not note it."
UNTOLD_FILES = "When its shards were finished is not in its manifest, so there is no curve over time."
RESUMED = "Shards that an attempt before this one had finished are left out of the curve."


@dataclass(frozen=True)
class Pace:
    """Attributes:
    seconds: from the start of the launcher to the end.
    phases: seconds by phase: "launch" (options, model), "images" (listed, read, embedded, written), "publish"; empty
        where the manifest does not tell.
    images: that were embedded or failed in this run.
    images_per_second: of them, over "images" where that is known and above 0, else over all; None of a run too short.
    over_images: whether it is over the phase "images".
    times: seconds after the start at which files were finished, ascending.
    done: images in all files finished by then, as many.
    shards: records of each file of features, up to `MOST_SHARDS`.
    shard_count: how many there are.
    untold: what the run's files do not tell, in sentences.
    """

    seconds: float
    phases: dict[str, float]
    images: int
    images_per_second: float | None
    over_images: bool
    times: tuple[float, ...]
    done: tuple[int, ...]
    shards: tuple[int, ...]
    shard_count: int
    untold: tuple[str, ...]


def read_pace(manifest: Mapping[str, Any]) -> Pace:
    """From the times of a manifest; see docs/output-format.md."""
    start = datetime.fromisoformat(manifest["started"])
    end = datetime.fromisoformat(manifest["finished"])
    seconds = max((end - start).total_seconds(), 0.0)
    counts = manifest["counts"]
    images = counts["embedded"] + counts["failed"] - counts.get("columns_changed", 0)
    phases, untold = dict(manifest.get("phases", {})), []
    if not phases:
        untold.append(UNTOLD_PHASES)
    over = phases.get("images", 0.0)
    divisor = over or seconds
    times, done, told = _curve(manifest, start)
    untold += [told] if told else []
    return Pace(
        seconds=seconds,
        phases=phases,
        images=images,
        images_per_second=images / divisor if divisor and images else None,
        over_images=bool(over),
        times=times,
        done=done,
        shards=tuple(entry["records"] for entry in manifest["shards"][:MOST_SHARDS]),
        shard_count=len(manifest["shards"]),
        untold=tuple(untold),
    )


def _curve(manifest: Mapping[str, Any], start: datetime) -> tuple[tuple[float, ...], tuple[int, ...], str]:
    """When how many images were in finished files; and what that leaves out."""
    entries = [*manifest["shards"], *manifest["dead_letters"]]
    told = [entry for entry in entries if "finished" in entry]
    if not told:
        return (), (), UNTOLD_FILES if entries else ""
    after = np.array([(datetime.fromisoformat(each["finished"]) - start).total_seconds() for each in told])
    records = np.array([entry["records"] for entry in told])
    own = after >= 0
    order = np.argsort(after[own], kind="stable")
    times, done = after[own][order], np.cumsum(records[own][order])
    kept = np.unique(np.linspace(0, max(0, len(times) - 1), min(len(times), MOST_POINTS)).astype(int))
    return tuple(times[kept].tolist()), tuple(done[kept].tolist()), RESUMED if own.sum() < len(entries) else ""
