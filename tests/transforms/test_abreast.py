"""Elements that are worked on abreast: all of them, in their order, counted; and none goes on after one has failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that

from pipeline.options.beam import LOCAL_RUNNER
from tests.waiting import wait_until
from transforms import tally
from transforms.abreast import AT_ONCE, AbandonedError, Abreast, Count


def run(work: Callable[..., Iterator[tuple[int, str]]], elements: list[int], expected: list[tuple[int, str]]) -> None:
    def in_order(found: list[tuple[int, str]]) -> None:
        assert found == expected

    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        side = beam.pvalue.AsSingleton(pipeline | "Side" >> beam.Create(["side"]))
        results = pipeline | beam.Create(elements, reshuffle=False) | beam.ParDo(Abreast(work), side)
        assert_that(results, in_order)


class State:
    """What the functions below have seen; a runner pickles those, but not what they refer to by name."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.at_work = self.most = 0
        self.seen: list[int] = []
        self.ended: list[int] = []


state = State()


@pytest.fixture(autouse=True)
def anew() -> None:
    global state
    state = State()
    tally.reset()


def some_of_each(element: int, side: str, *, count: Count) -> Iterator[tuple[int, str]]:
    with state.lock:
        state.at_work += 1
        state.most = max(state.most, state.at_work)
    time.sleep(0.01 * (element % 3))
    for _ in range(element % 4):
        count("abreast", 1)
        yield element, side
    with state.lock:
        state.at_work -= 1


def test_all_come_in_their_order_and_are_counted() -> None:
    run(some_of_each, [*range(20)], [(i, "side") for i in range(20) for _ in range(i % 4)])
    assert tally.counts()["abreast"] == sum(i % 4 for i in range(20))
    assert state.most == AT_ONCE


def failing_first(element: int, side: str, *, count: Count) -> Iterator[tuple[int, str]]:
    if element == 0:
        wait_until(lambda: bool(state.seen))
        raise ValueError("the first one")
    try:
        while True:
            state.seen.append(element)
            time.sleep(0.01)
            count("abreast", 1)
    except AbandonedError:
        state.ended.append(element)
        raise
    yield element, side


def test_the_others_end_when_one_fails() -> None:
    with pytest.raises(ValueError, match="the first one"):
        run(failing_first, [*range(8)], [])
    wait_until(lambda: {*state.seen} == {*state.ended})
    assert 0 < len(state.ended) <= AT_ONCE


def looking(element: int, side: str, *, count: Count) -> Iterator[tuple[int, str]]:
    count("abreast", 1)
    wait_until(lambda: tally.counts()["abreast"] > element)
    state.seen.append(tally.counts()["abreast"])
    yield element, side


def test_what_was_counted_is_told_meanwhile() -> None:
    run(looking, [0], [(0, "side")])
    assert state.seen == [1]
