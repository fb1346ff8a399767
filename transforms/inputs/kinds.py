"""Counts of files that are left out, by kind, within bounds: listings meet any names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

OTHER = "other"
NOT_CURRENT = "not current"  # rows of inventories: older versions of objects, and deletions
# Kinds that are told apart in the manifest, and on the way to it; the rarest ones are `OTHER`.
KINDS_TOLD = 50
KINDS_HELD = 1000


def count(counts: Counter[str], kind: str) -> None:
    """Adds one of a kind, as `OTHER` where too many kinds were met before it."""
    known = kind in counts or len(counts) < KINDS_HELD
    counts[kind if known else OTHER] += 1


def sum_kinds(each: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sums of counts, of the `KINDS_TOLD` commonest kinds in their order, and of all others together."""
    summed: Counter[str] = Counter()
    for counts in each:
        summed.update(counts)
        if len(summed) > 2 * KINDS_HELD:
            summed = Counter(commonest(summed, KINDS_HELD))
    return commonest(summed, KINDS_TOLD)


def commonest(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """The `most` kinds with the largest counts, in their order; all others together as `OTHER`."""
    ordered = sorted((kind for kind in counts if kind != OTHER), key=lambda kind: (-counts[kind], kind))
    kept = {kind: counts[kind] for kind in ordered[:most]}
    others = sum(counts.values()) - sum(kept.values())
    return {**kept, OTHER: others} if others else kept
