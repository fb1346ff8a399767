"""What is seen of a run at a moment: figures and phase, as a line of text and as fields of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.console.pace import Pace

FAILED_BY = "failed_"  # how counters of `transforms.tally` begin that count by class; importing that takes Beam along
CLASSES_SHOWN = 4
# What a phase is about, for as long as it has no figures.
DOING = {
    "start": "looking at the inputs",
    "model": "preparing the model",
    "list": "listing",
    "embed": "embedding",
    "publish": "publishing",
    "compact": "compacting",
    "export": "exporting",
    "job": "at work elsewhere",
    "wait": "waiting",
}


@dataclass(frozen=True)
class Sight:
    """A moment of a run.

    Attributes:
        phase: a key of `DOING`.
        seconds: since the phase, or what is shown of it, has begun.
        counts: of `tally`, of which those that were not counted may be missing.
        first: when images were first selected, None for not yet, on the clock of `time.monotonic`.
        limit: images that are embedded at most; 0: all.
        state: of a job elsewhere, as its runner calls it, in lower case; "" of work on this machine.
        job: which job it is, of which runner, and where it is looked at; "" likewise.
        said: what is known besides, in words.
    """

    phase: str
    seconds: float = 0.0
    counts: Mapping[str, int] = field(default_factory=dict)
    first: float | None = None
    limit: int = 0
    state: str = ""
    job: str = ""
    said: str = ""

    @property
    def failed(self) -> int:
        """Met, or written as dead letters, whichever are more: these come last."""
        return max(self.counts.get("images_failed", 0), sum(self.failed_by_class.values()))

    @property
    def failed_by_class(self) -> dict[str, int]:
        """Most frequent first."""
        found = {name[len(FAILED_BY) :]: n for name, n in self.counts.items() if name.startswith(FAILED_BY)}
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    @property
    def done(self) -> int:
        """Images embedded or failed; of a compaction or an export, records written."""
        return self.counts.get("images_embedded", 0) + self.counts.get("records_exported", 0) + self.failed

    @property
    def total(self) -> int:
        """Images to be done. While it is decided on them, by the share of those that were: units are cut by hash."""
        listed, settled = self.counts.get("objects_listed", 0), self.counts.get("objects_settled", 0)
        chosen = self.counts.get("images_selected", 0) + self.counts.get("images_rewritten", 0)
        undecided = max(listed - settled - chosen, 0)
        total = chosen + round(undecided * chosen / (chosen + settled)) if chosen else 0
        total = max(total, self.counts.get("records_selected", 0))
        return max(min(total, self.limit or total), self.done)

    @property
    def remaining(self) -> int:
        return self.total - self.done

    @property
    def is_decided(self) -> bool:
        """Whether it is known of every listed object what is done with it."""
        listed = self.counts.get("objects_listed", 0)
        names = ("objects_settled", "images_selected", "images_rewritten")
        return sum(self.counts.get(name, 0) for name in names) >= listed


def phase_of(counts: Mapping[str, int], first: float | None) -> str:
    """Of a run whose graph is at work: "list", "embed" or "publish"."""
    sight = Sight("embed", counts=counts)
    if first is None and not any(counts.get(name) for name in ("objects_settled", "images_rewritten")):
        return "list"
    return "publish" if sight.is_decided and not sight.remaining else "embed"


def line_of(sight: Sight, pace: Pace) -> str:
    """Such as: 1,200 of 5,000 images, 10 failed (NotAnImage 7, TooLarge 3), 120.0 images/s, 0:32 left."""
    parts = [sight.state, figures_text(sight), failures_text(sight), pace_text(sight, pace), left_text(sight, pace)]
    return ", ".join(part for part in (*parts, sight.said) if part)


def figures_text(sight: Sight) -> str:
    """How much is done of how much."""
    if sight.counts.get("records_selected"):
        return f"{sight.done:,} of {sight.total:,} records"
    if sight.phase in ("start", "model", "job", "wait", "compact", "export") and not sight.counts:
        return "" if sight.said or sight.state else f"{clock(sight.seconds)} of {DOING[sight.phase]}"
    if sight.phase == "list":
        return f"{sight.counts.get('objects_listed', 0):,} images listed"
    figures = f"{sight.done:,} of {sight.total:,} images"
    return f"{figures}, publishing" if sight.phase == "publish" else figures


def failures_text(sight: Sight) -> str:
    """Such as: 10 failed (NotAnImage 7, TooLarge 3)."""
    if not sight.failed:
        return ""
    shown = [f"{name} {number:,}" for name, number in [*sight.failed_by_class.items()][:CLASSES_SHOWN]]
    if (more := len(sight.failed_by_class) - len(shown)) > 0:
        shown.append(f"{more} more")
    return f"{sight.failed:,} failed" + (f" ({', '.join(shown)})" if shown else "")


def pace_text(sight: Sight, pace: Pace) -> str:
    """Such as: 120.0 images/s now, 104.2 on the whole, 12.3 MB/s."""
    if not sight.done or sight.phase == "publish":
        return ""
    what = "records" if sight.counts.get("records_selected") else "images"
    text = f"{pace.images_now:,.1f} {what}/s now, {pace.images_on_the_whole:,.1f} on the whole"
    return f"{text}, {pace.bytes_now / 1e6:,.1f} MB/s" if sight.counts.get("bytes_read") else text


def left_text(sight: Sight, pace: Pace) -> str:
    """Such as: 0:32 left."""
    left = pace.seconds_left(sight.remaining)
    return "" if left is None else f"{clock(left)} left"


def clock(seconds: float) -> str:
    """Such as 0:32 or 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def fields_of(sight: Sight, pace: Pace) -> dict[str, Any]:
    """The same as fields of JSON; what is not known is not among them."""
    left = pace.seconds_left(sight.remaining)
    fields: dict[str, Any] = {"phase": sight.phase, "job": sight.job, "state": sight.state}
    fields = {name: value for name, value in fields.items() if value}
    if not sight.counts:
        return fields | {"seconds": round(sight.seconds, 1)}
    fields |= {"listed": sight.counts.get("objects_listed", 0), "done": sight.done, "total": sight.total}
    fields |= {"failed": sight.failed, "failed_by_error": sight.failed_by_class}
    fields |= {"images_per_second": round(pace.images_now, 2)}
    fields |= {"images_per_second_on_the_whole": round(pace.images_on_the_whole, 2)}
    fields |= {"megabytes_per_second": round(pace.bytes_now / 1e6, 3)}
    return fields if left is None else fields | {"seconds_left": round(left)}
