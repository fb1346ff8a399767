"""The counts of a run's manifest, and whether they let it be published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from transforms import history
from transforms.elements import StagedFile
from transforms.records import ledger


def count_outcomes(staged: Iterable[StagedFile], decisions: Mapping[str, int]) -> dict[str, Any]:
    """The counts of the manifest, from the files that hold the records and from what was decided on each image.

    Raises:
        RuntimeError: images were lost or doubled on the way; such a run must not be published.
    """
    records: Counter[str] = Counter()
    errors: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for file in staged:
        records[file.kind] += file.records
        errors.update(file.errors)
        reasons.update(file.reasons)
    decided = Counter(decisions)
    embedded, failed, deleted = records["features"], records["dead_letters"], records["deleted"]
    wanted = decided[history.SELECTED] + decided[history.STAGED] + decided[ledger.COLUMNS_CHANGED]
    if embedded + failed != wanted:
        raise RuntimeError(
            f"{wanted} images were listed but {embedded} embedded and {failed} failed: not publishing this run"
        )
    if deleted != decided[history.DELETED]:
        raise RuntimeError(f"{decided[history.DELETED]} images are gone but {deleted} noted: not publishing this run")
    # What a killed attempt had finished is beyond what was decided.
    if lost := [reason for reason in ledger.REASONS if reasons[reason] < decided[reason]]:
        raise RuntimeError(
            f"{decided[lost[0]]} images are {lost[0]} but {reasons[lost[0]]} noted so: not publishing this run"
        )
    left_out = {
        "unchanged": decided[history.UNCHANGED],
        "failed_before": decided[history.FAILED_BEFORE],
        "outside": decided[history.OUTSIDE],
        "over_limit": decided[history.EMBED] - decided[history.SELECTED],
    }
    return {
        "listed": sum(left_out.values()) + embedded + failed,
        **left_out,
        "embedded": embedded,
        **_told(reasons, embedded + failed),
        "columns_changed": reasons[ledger.COLUMNS_CHANGED],
        "failed": failed,
        "failed_by_error": dict(errors.most_common()),
        "duplicates": decided[history.SELECTED] - decided[history.DISTINCT] if history.DISTINCT in decided else 0,
        "deleted": deleted,
        "containers": records["containers"],
    }


def _told(reasons: Counter[str], wanted: int) -> dict[str, int]:
    """Why images were embedded, or failed to be, where all of them tell."""
    return {reason: reasons[reason] for reason in ledger.REASONS} if sum(reasons.values()) == wanted else {}


def refusal_of(counts: Mapping[str, Any], max_failure_rate: float) -> str:
    """Why a run with these counts is not published, in one sentence; empty when it is."""
    rate = counts["failed"] / counts["listed"] if counts["listed"] else 0.0
    if rate <= max_failure_rate:
        return ""
    most, times = next(iter(counts["failed_by_error"].items()))
    return (
        f"{counts['failed']} of {counts['listed']} images failed ({rate:.1%}), most of them with {most} ({times}); "
        f"--max_failure_rate allows {max_failure_rate:.1%}"
    )
