"""embed-images status: how an output stands, in a few lines; a run says them at its end, too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from pipeline.console.logs import logger
from pipeline.console.printable import counted, printable
from pipeline.errors import RunError
from pipeline.outputs.failures import failure_lines, failure_lines_if_read, failures_of
from pipeline.outputs.history import PublishedRun, published_runs
from pipeline.outputs.latest import count_newest
from pipeline.runs.housekeeping import LeftBehind, left_behind_in, refused_in
from transforms.records.ledger import NEW
from transforms.stores import storage

# At the end of a run no more is read than that: a second or two, and 120 MB of memory.
ROWS_AT_END, LEDGERS_AT_END = 300_000, 1000
# Counts of the manifest that add up to `listed`, in words.
IN_WORDS = {
    "unchanged": "unchanged",
    "new": "new",
    "changed": "changed",
    "retried": "tried again",
    "repeated": "embedded again, without a version in the listing",
    "columns_changed": "with other columns",
    "failed_before": "failed before and left alone",
    "outside": "outside of --since and --until",
    "over_limit": "over --limit",
}


class Newest(NamedTuple):
    """The newest vectors of all images that are not gone: how many, and in how many runs."""

    vectors: int
    runs: int


@dataclass(frozen=True)
class Status:
    """How an output stands.

    Attributes:
        run: the newest one that listed images; None where compactions alone are left, or nothing is published.
        newest: vectors of the newest run's generation.
        left_behind: runs that are at work, or have ended without being published.
        refused: runs after the newest, which failed too often.
    """

    run: PublishedRun | None
    newest: Newest
    left_behind: Sequence[LeftBehind]
    refused: Sequence[PublishedRun] = ()

    def as_text(self) -> str:
        lines = []
        if self.run is not None:
            lines = [
                f"run {self.run.run_id}, finished {self.run.manifest['finished']}",
                sentence(self.run.manifest["counts"], self.newest),
                *failure_lines(self.run.folder, self.run.manifest),
            ]
        elif self.newest.runs:
            lines = [f"{_vectors(self.newest)}; no run that listed images is left"]
        for run in self.refused:
            lines += [f"refused since: run {run.run_id}: {run.manifest['refused']}"]
            lines += failure_lines(run.folder, run.manifest)
        return "\n".join(map(printable, [*lines, *(left.as_line() for left in self.left_behind)]))

    def as_json(self) -> str:
        run: dict[str, Any] = {}
        if self.run is not None:
            manifest, folder = self.run.manifest, self.run.folder
            run = {
                "run_id": self.run.run_id,
                "finished": manifest["finished"],
                "counts": manifest["counts"],
                "quiet": is_quiet(manifest["counts"]),
                "dead_letters": [storage.join(folder, entry["path"]) for entry in manifest["dead_letters"]],
                "failures": [failure._asdict() for failure in failures_of(folder, manifest)],
            }
        left = [{"run_id": each.run_id, "held_by": each.holder} for each in self.left_behind]
        refused = [{"run_id": each.run_id, "why": each.manifest["refused"]} for each in self.refused]
        newest = self.newest._asdict()
        return json.dumps({"run": run or None, "newest": newest, "refused": refused, "left_behind": left}, indent=2)


def status_of(output: str) -> Status:
    """Reads the ledgers of the newest generation.

    Raises:
        RunError: there is nothing.
        OutputError: a run that is needed cannot be read.
    """
    output = storage.normalize(output)
    runs = published_runs(output, all_of_them=True)
    left_behind = left_behind_in(output, runs)
    refused = [run for run in refused_in(output) if not runs or run.manifest["as_of"] > runs[-1].manifest["as_of"]]
    if not runs and not left_behind and not refused:
        raise RunError(f"{output}: no published run; they lie in {storage.join(output, 'runs')}")
    comparable = [run for run in runs if run.generation == runs[-1].generation]
    listing = [run for run in comparable if not run.compacted]
    return Status(listing[-1] if listing else None, _newest(comparable), left_behind, refused)


def last_lines(folder: str, manifest: Mapping[str, Any]) -> list[str]:
    """What a run that was just published says in the end; of an output that is large, without its newest vectors."""
    return [sentence(manifest["counts"], _newest_at_end(folder, manifest)), *failure_lines_if_read(folder, manifest)]


def sentence(counts: Mapping[str, Any], newest: Newest | None) -> str:
    """Such as: 625 images: 600 unchanged, 25 new, 3 gone; newest vectors of all 625 in 2 runs; nothing failed.

    Args:
        counts: of a manifest.
        newest: of its output; None where it is not known.
    """
    listed = counts["listed"]
    parts = [f"{counts[name]:,} {words}" for name, words in IN_WORDS.items() if counts.get(name)]
    if NEW not in counts:  # a run that did not ask earlier ones, or of a version that did not tell
        parts += [f"{counts['embedded'] - counts.get('columns_changed', 0):,} embedded"]
    if counts["deleted"]:
        parts.append(f"{counts['deleted']:,} gone")
    if is_quiet(counts):
        parts = ["all unchanged" if counts["unchanged"] == listed else ", ".join(parts), "a quiet night"]
    clauses = [f"{counted(listed, 'image')}: {', '.join(parts)}"]
    if newest is not None:
        every = newest.vectors == listed == counts["unchanged"] + counts["embedded"] > 0
        clauses.append(_vectors(newest, every=every))
    return "; ".join([*clauses, _failed(counts)])


def is_quiet(counts: Mapping[str, Any]) -> bool:
    """Whether a night found nothing that is new, changed or gone, and had nothing to do."""
    busy = ("embedded", "failed", "deleted", "outside", "over_limit")
    return NEW in counts and counts["listed"] > 0 and not any(counts[name] for name in busy)


def _vectors(newest: Newest, *, every: bool = False) -> str:
    images = f"all {newest.vectors:,}" if every else counted(newest.vectors, "image")
    return f"newest vectors of {images} in {counted(newest.runs, 'run')}"


def _failed(counts: Mapping[str, Any]) -> str:
    if not counts["failed"]:
        return "nothing else failed" if counts["failed_before"] else "nothing failed"
    errors = ", ".join(f"{times:,} {error}" for error, times in counts["failed_by_error"].items())
    return f"{counts['failed']:,} failed ({errors})"


def _newest(runs: Sequence[PublishedRun]) -> Newest:
    counts = count_newest(runs)
    return Newest(sum(counts.values()), len(counts))


def _newest_at_end(folder: str, manifest: Mapping[str, Any]) -> Newest | None:
    try:
        runs = published_runs(folder.rpartition("/runs/")[0], all_of_them=True)
        comparable = [run for run in runs if run.generation == manifest["generation"]]
        ledgers = [ledger for run in comparable for ledger in run.manifest["ledgers"]]
        if sum(ledger["records"] for ledger in ledgers) > ROWS_AT_END or len(ledgers) > LEDGERS_AT_END:
            return None
        return _newest(comparable)
    except Exception as e:  # of a store, or of another run: this one is published, whatever it is
        logger.debug("newest vectors not counted: %s", e)
        return None
