"""Ranges of names that are listed at once: together they are the plain listing, whatever the names are."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.elements import ImageObject
from transforms.inputs.ranges import WHOLE, Range, RangePage, cut, read_at_once, spread

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=6)
NUMBERED = st.integers(0, 10**6).map(lambda number: f"img-{number:06}.jpg")
HASHED = st.integers(0, 2**32 - 1).map(lambda number: f"photos/{number:08x}/a.jpg")


class Store:
    """A store in memory, that lists so many names a page from any name on."""

    def __init__(self, names: set[str], size: int = 3, seconds: float = 0.0):
        self.names = sorted(names)
        self.size = size
        self.seconds = seconds
        self.asked = 0
        self.at_once = 0
        self.most_at_once = 0

    async def read(self, wanted: Range) -> RangePage:
        self.asked += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        start = bisect_right(self.names, wanted.after)
        page = self.names[start : start + self.size]
        last = page[-1] if page else ""
        more = start + self.size < len(self.names) and not (page and wanted.is_behind(last))
        self.at_once -= 1
        images = [ImageObject(name) for name in page if wanted.holds(name)]
        return RangePage(images, page[0] if page else "", last, more, True)


@settings(deadline=None)
@given(st.one_of(st.sets(NAMES, max_size=200), st.sets(NUMBERED, max_size=200), st.sets(HASHED, max_size=200)))
def test_every_name_is_listed_once(names: set[str]) -> None:
    store = Store(names)
    found = [image.uri for page in read_at_once(store.read, Range(), at_once=4) for image in page.objects]
    assert sorted(found) == store.names


@settings(deadline=None)
@given(
    st.one_of(st.sets(NAMES, max_size=200), st.sets(NUMBERED, max_size=200), st.sets(HASHED, max_size=200)),
    st.integers(1, 40),
)
def test_pages_and_ranges_that_are_spread_are_every_name_once(names: set[str], wanted: int) -> None:
    store = Store(names)
    found: list[str] = []
    for each in spread(store.read, WHOLE, wanted):
        pages = [each] if isinstance(each, RangePage) else list(read_at_once(store.read, each, at_once=4))
        found += [image.uri for page in pages for image in page.objects]
    assert sorted(found) == store.names


@pytest.mark.parametrize("pattern", ["{:07}.jpg", "IMG_{:07}.JPG", "{:x}.jpg", "a/b/{:07}/x.png", "{:07}-ünï.jpg"])
def test_common_names_are_spread_over_many_workers(pattern: str) -> None:
    """At least twenty share them, though the most of them are still unread."""
    names = {pattern.format(number * 7919 % 10_000_019) for number in range(40_000)}
    store = Store(names, size=10)
    ranges = [each for each in spread(store.read, WHOLE, 32) if isinstance(each, Range)]
    places = [(bisect_right(store.names, each.after), bisect_right(store.names, each.until)) for each in ranges]
    shares = [(end if each.until else len(names)) - start for each, (start, end) in zip(ranges, places, strict=True)]
    assert sum(shares) > len(names) / 2
    assert max(shares) < sum(shares) / 20
    assert store.asked < 1500


@given(st.sets(NAMES, min_size=2, max_size=50), st.data())
def test_a_cut_leaves_no_gap_and_no_overlap(names: set[str], data: st.DataObject) -> None:
    ordered = sorted(names)
    page = RangePage([], ordered[0], ordered[len(ordered) // 2], True, True)
    until = data.draw(st.sampled_from(["", ordered[-1]]))
    if page.last == until:
        return
    parts = cut(Range("", until), page)
    whole = Range(page.last, until)
    bounds = [bound for part in parts for bound in part if bound]
    for name in (*bounds, *data.draw(st.lists(st.one_of(NAMES, st.sampled_from(ordered))))):
        assert sum(part.holds(name) for part in parts) == whole.holds(name)


@pytest.mark.parametrize("pattern", ["{:07}.jpg", "IMG_{:07}.JPG", "{:x}.jpg", "a/b/{:07}/x.png", "{:07}-ünï.jpg"])
def test_common_names_are_listed_many_pages_at_once(pattern: str) -> None:
    """Though nothing is known of them before; at the end of a listing most cuts hold little, which costs requests."""
    names = {pattern.format(number * 7919 % 10_000_019) for number in range(20_000)}
    store = Store(names, size=100, seconds=0.002)
    found = Counter(image.uri for page in read_at_once(store.read, Range(), at_once=16) for image in page.objects)
    assert found == Counter(names)
    assert store.most_at_once >= 12
    assert store.asked < 4 * len(names) / 100


def test_what_comes_and_goes_meanwhile_is_listed_at_most_once_and_the_rest_all_the_same() -> None:
    stay = {f"{number:05}.jpg" for number in range(0, 6000, 2)}
    store = Store(stay, size=20, seconds=0.0005)
    found: list[str] = []
    for number, page in enumerate(read_at_once(store.read, Range(), at_once=8)):
        found += [image.uri for image in page.objects]
        guest = f"{(number * 97) % 6000 | 1:05}.jpg"
        store.names = sorted(stay | {guest})
    counts = Counter(found)
    assert stay <= counts.keys()
    assert max(counts.values()) == 1


def test_an_error_of_the_store_ends_the_listing() -> None:
    store = Store({f"{number:05}.jpg" for number in range(1000)}, size=10)

    async def read(wanted: Range) -> RangePage:
        if store.asked > 20:
            raise OSError("no")
        return await store.read(wanted)

    with pytest.raises(OSError, match="no"):
        list(read_at_once(read, Range(), at_once=4))


def test_who_wants_no_more_asks_for_no_more() -> None:
    store = Store({f"{number:05}.jpg" for number in range(10_000)}, size=10, seconds=0.001)
    listing = read_at_once(store.read, Range(), at_once=4)
    next(listing)
    listing.close()
    time.sleep(0.1)
    asked = store.asked
    time.sleep(0.1)
    assert store.asked == asked < 100


def test_no_more_pages_are_held_than_two_for_each_that_is_asked_for() -> None:
    store = Store({f"{number:05}.jpg" for number in range(10_000)}, size=10)
    listing = read_at_once(store.read, Range(), at_once=4)
    for taken in range(1, 20):
        next(listing)
        time.sleep(0.01)
        assert store.asked <= taken + 3 * 4 + 1
    listing.close()
