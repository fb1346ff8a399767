"""Decodes that take too long: given up, and the others go on; and how many are at work at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from transforms.images.decoding import ImageError
from transforms.images.threads import HELD_SECONDS, SMOOTHED, Decoders, Late

SECONDS = 60


@pytest.fixture
def end() -> Iterator[threading.Event]:
    """What decodes that never end wait for, so that the tests do."""
    event = threading.Event()
    yield event
    event.set()


def same(value: Any) -> Any:
    return value


def double(value: int) -> int:
    return 2 * value


def held_at(held: int, end: threading.Event) -> Callable[[int], int]:
    def double_or_wait(value: int) -> int:
        if value == held:
            end.wait()
        return 2 * value

    return double_or_wait


@pytest.mark.parametrize("threads", [1, 2])
def test_images_go_on_when_every_thread_is_held(threads: int, end: threading.Event) -> None:
    decoders = Decoders(threads, seconds=0.1)
    waiting = [decoders.submit([None], same, lambda _: end.wait()) for _ in range(5)]
    assert [each.result(SECONDS) for each in waiting] == [[Late(is_read=True, seconds=0.1)]] * 5
    found = [decoders.submit([value], same, double) for value in range(20)]
    assert [each.result(SECONDS) for each in found] == [[2 * value] for value in range(20)]


@pytest.mark.parametrize("held", [0, 2, 4])
def test_another_thread_goes_on_with_a_group(held: int, end: threading.Event) -> None:
    expected = [2 * value if value != held else Late(is_read=True, seconds=0.2) for value in range(5)]
    found = Decoders(1, seconds=0.2).submit(range(5), same, held_at(held, end))
    assert found.result(SECONDS) == expected
    end.set()  # what comes then is dropped
    time.sleep(0.05)
    assert found.result() == expected


def test_a_read_that_does_not_end_is_told_from_a_decode(end: threading.Event) -> None:
    found = Decoders(2, seconds=0.2).submit(range(3), held_at(1, end), same)
    assert found.result(SECONDS) == [0, Late(is_read=False, seconds=0.2), 4]


def test_no_more_are_decoded_at_once_than_there_are_threads(end: threading.Event) -> None:
    """Neither while one is given up, nor after it has come back."""
    at_work = AtWork(10 * HELD_SECONDS)
    decoders = Decoders(2, seconds=0.3)
    assert decoders.submit([None], same, lambda _: end.wait()).result(SECONDS) == [Late(is_read=True, seconds=0.3)]
    assert at_work.most_of(decoders, 20) == 1
    end.set()
    while decoders._given_up:
        time.sleep(0.01)
    assert at_work.most_of(decoders, 20) == 2


def test_a_thread_that_comes_back_late_is_not_one_too_many(end: threading.Event) -> None:
    before = set(threading.enumerate())

    def at_work() -> int:
        return sum(thread.name == "decode" for thread in set(threading.enumerate()) - before)

    decoders = Decoders(1, seconds=0.1)
    decoders.submit([None], same, lambda _: end.wait()).result(SECONDS)
    assert at_work() == 2, "the one that is held, and the one in its place"
    end.set()
    until = time.monotonic() + SECONDS
    while at_work() > 1 and time.monotonic() < until:
        time.sleep(0.01)
    assert at_work() == 1
    assert decoders.submit([3], same, double).result(SECONDS) == [6]


def test_small_images_are_decoded_by_fewer_threads_and_large_ones_by_all_again() -> None:
    decoders = Decoders(4)
    assert AtWork(20 * HELD_SECONDS).most_of(decoders, 20) == 4
    small = AtWork(HELD_SECONDS / 4)
    small.most_of(decoders, 8 * SMOOTHED)
    assert small.most_of(decoders, 50) == 1
    assert decoders.take_turns
    large = AtWork(20 * HELD_SECONDS)
    large.most_of(decoders, 8 * SMOOTHED)
    assert large.most_of(decoders, 20) == 4
    assert not decoders.take_turns


def test_turns_are_taken_where_a_decode_is_one_thread_s_work() -> None:
    decoders = Decoders(4)
    assert not decoders.take_turns, "of images that were not seen yet"
    for share, turns in ((0.1, True), (1.4, True), (1.6, False), (9, False)):
        decoders._core_seconds = share * HELD_SECONDS
        assert decoders.take_turns is turns


class AtWork:
    """Decodes that take so many seconds of a core, and then wait a little."""

    def __init__(self, seconds: float):
        self._seconds = seconds
        self._lock = threading.Lock()
        self._now = self._most = 0

    def decode(self, _: object) -> None:
        with self._lock:
            self._now += 1
            self._most = max(self._most, self._now)
        until = time.thread_time() + self._seconds
        while time.thread_time() < until:
            pass
        time.sleep(0.002)
        with self._lock:
            self._now -= 1

    def most_of(self, decoders: Decoders, groups: int) -> int:
        """How many were at work at once, of groups of one."""
        self._most = 0
        for decoding in [decoders.submit([None], same, self.decode) for _ in range(groups)]:
            decoding.result(SECONDS)
        return self._most


def test_what_a_decode_raises_is_raised() -> None:
    def fail(value: int) -> int:
        if value:
            raise ImageError("CorruptImage", "broken")
        return value

    decoders = Decoders(1)
    with pytest.raises(ImageError, match="broken"):
        decoders.submit(range(3), same, fail).result(SECONDS)
    assert decoders.submit([3], same, double).result(SECONDS) == [6]


def test_a_group_that_nobody_wants_any_more_is_not_begun(end: threading.Event) -> None:
    decoders, begun = Decoders(1), []
    first = decoders.submit([0], same, lambda _: end.wait())
    unwanted = decoders.submit([1], begun.append, same)
    assert unwanted.cancel()
    last = decoders.submit([2], begun.append, same)
    end.set()
    first.result(SECONDS)
    last.result(SECONDS)
    with pytest.raises(CancelledError):
        unwanted.result(SECONDS)
    assert begun == [2]
