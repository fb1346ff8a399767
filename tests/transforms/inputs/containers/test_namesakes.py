"""Members of the same name, and what it costs to know that there are none."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.inputs.containers import namesakes
from transforms.inputs.containers.namesakes import Namesakes


def test_each_gets_the_first_number_that_is_free() -> None:
    names = Namesakes()
    given = [names.named(name) for name in ["a", "a", "b", "a#2", "a", "a#2", "a#5", "a", "a", "\udce9", "\udce9"]]
    assert given == ["a", "a#2", "b", "a#2#2", "a#3", "a#2#3", "a#5", "a#4", "a#6", "\udce9", "\udce9#2"]


@given(st.lists(st.sampled_from(["a", "b", "a#2", "a#3", "b#2", "a#2#2"]), max_size=40))
def test_no_two_are_the_same_and_those_before_stay(members: list[str]) -> None:
    names, fewer = Namesakes(), Namesakes()
    named = [names.named(name) for name in members]
    assert len(set(named)) == len(named)
    assert named[:20] == [fewer.named(name) for name in members[:20]]
    for i, name in enumerate(named):
        assert name == members[i] if members[i] not in named[:i] else name.startswith(f"{members[i]}#")


def test_a_name_costs_eight_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namesakes, "RECENT", 500)
    names = Namesakes()
    tracemalloc.start()
    for number in range(20_000):
        assert names.named(str(number)) == str(number)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e5  # while two lists of them are merged; a set has 1.7e6
    assert [names.named(name) for name in ("7", "19999", "7")] == ["7#2", "19999#2", "7#3"]


def test_a_name_that_comes_again_and_again_is_not_looked_for_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = []
    is_new = Namesakes._is_new
    monkeypatch.setattr(Namesakes, "_is_new", lambda names, name: looked.append(name) or is_new(names, name))
    names = Namesakes()
    *_, last = (names.named("a") for _ in range(300))
    assert last == "a#300"
    assert len(looked) < 2 * 300
