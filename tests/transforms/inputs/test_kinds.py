"""Counts of kinds: nothing is lost, and the commonest are told, however many there are."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.inputs import kinds
from transforms.inputs.kinds import KINDS_TOLD, OTHER, commonest, sum_kinds

PARTS = st.lists(st.dictionaries(st.text("ab.", max_size=4), st.integers(1, 9)), max_size=8)


@given(PARTS, st.integers(1, 5))
def test_the_commonest_are_kept_and_nothing_is_lost(parts: list[dict[str, int]], most: int) -> None:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    told = commonest(total, most)
    assert sum(told.values()) == total.total()
    kept = {kind: times for kind, times in told.items() if kind != OTHER}
    assert len(kept) <= most
    assert all(total[kind] == times for kind, times in kept.items())
    assert min(kept.values(), default=0) >= max((total[k] for k in total if k not in kept), default=0)
    assert sum_kinds(parts) == commonest(total, KINDS_TOLD)


@given(PARTS)
def test_sums_are_bounded_and_lose_nothing(parts: list[dict[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "KINDS_HELD", 2)
        patch.setattr(kinds, "KINDS_TOLD", 1)
        told = sum_kinds(parts)
    assert sum(told.values()) == sum(sum(part.values()) for part in parts)
    assert len(told) <= 2


def test_a_manifest_tells_at_most_so_many_kinds() -> None:
    assert len(sum_kinds([{f".{i}": 1 for i in range(1000)}])) == KINDS_TOLD + 1
