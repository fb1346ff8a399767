"""Listings of flat prefixes, many pages at once: the names are cut into ranges, and again where one turns out full.

A store lists a prefix a page after the other, since each page tells where the next begins. But it lists from any name
on, in the order of the names' code points, so that ranges of names can be listed at the same time. Where they are cut
is guessed from the names that were seen; a bad guess costs a request, and never an image, since the ranges of a cut
lie side by side.

https://cloud.google.com/storage/docs/json_api/v1/objects/list (startOffset, endOffset),
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html (StartAfter)
"""

from __future__ import annotations

import asyncio
import string
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from fsspec.asyn import get_loop

from transforms.elements import ImageObject

AT_ONCE = 64
ROUNDS = 3
LIKELY = ("0123456789abcdef", "ABCDEF")
LETTERS = (string.ascii_lowercase, string.ascii_uppercase)


class Range(NamedTuple):
    """Names after `after`, up to and with `until`; "" for no bound."""

    after: str = ""
    until: str = ""

    def holds(self, name: str) -> bool:
        return name > self.after and (not self.until or name <= self.until)

    def is_behind(self, name: str) -> bool:
        """Whether no name after this one is within."""
        return bool(self.until) and name >= self.until


WHOLE = Range()


class RangePage(NamedTuple):
    """Attributes:
    objects: of the range, in the order of their names.
    first, last: names of the page, of what is no image, too; "" of an empty page.
    more: whether the range goes on after `last`.
    is_ordered: whether the names are in their order, and not before the range.
    """

    objects: list[ImageObject]
    first: str
    last: str
    more: bool
    is_ordered: bool


# Reads one page of a range, as a coroutine of fsspec's loop.
ReadPage = Callable[[Range], Awaitable[RangePage]]


def cut(found: Range, page: RangePage) -> list[Range]:
    """Cuts what is left of a range after a page of it, into ranges that lie side by side.

    Where the names of the page differ, and before that place, names with other digits are likely, of ten or sixteen;
    and where they differ other letters, too.
    """
    last = page.last
    differing = next((i for i, (a, b) in enumerate(zip(page.first, last, strict=False)) if a != b), len(last) - 1)
    bounds: set[str] = set()
    for place in range(differing + 1):
        likely = LIKELY if place < differing else (*LIKELY, *LETTERS)
        others = next((letters for letters in likely if last[place] in letters), "")
        others = others[others.find(last[place]) + 1 :]
        bounds.update(last[:place] + other for other in others)
    inside = sorted(bound for bound in bounds if Range(last, found.until).holds(bound) and bound != found.until)
    return [Range(a, b) for a, b in pairwise([last, *inside, found.until])]


def spread(read: ReadPage, start: Range, wanted: int) -> Iterator[RangePage | Range]:
    """Pages of a range, and ranges of what is left of it, for others to list: none overlap, and together they are it.

    A page of each range is read before it is cut again: by then it is known what the guesses came to.

    Args:
        wanted: ranges; when there are as many, none is cut again.

    Raises: what `read` does.
    """

    async def read_all(ranges: Sequence[Range]) -> list[RangePage]:
        return await asyncio.gather(*map(read, ranges))

    ranges, rest = [start], [start]
    for _ in range(ROUNDS):
        full: list[tuple[Range, RangePage]] = []
        for first in range(0, len(ranges), AT_ONCE):
            asked = ranges[first : first + AT_ONCE]
            pages = asyncio.run_coroutine_threadsafe(read_all(asked), get_loop()).result()
            yield from pages
            full += [(found, page) for found, page in zip(asked, pages, strict=True) if page.more]
        rest = [Range(page.last, found.until) for found, page in full]
        if len(rest) >= wanted:
            break
        ranges = [part for found, page in full for part in cut(found, page)]
    yield from rest


def read_at_once(read: ReadPage, start: Range, at_once: int = AT_ONCE) -> Iterator[RangePage]:
    """The pages of a range, in no order; so many are asked for at the same time, on fsspec's event loop.

    At most two pages for each are held, one that is asked for and one that waits. Ranges are cut while there are fewer
    of them than that. (On a thread for each range, with which the loop has to share the interpreter, a page took twice
    as long.)

    Raises: what `read` does; no page is read after that.
    """
    loop = get_loop()
    found: asyncio.Queue[RangePage | None] = asyncio.Queue(at_once)
    listing = asyncio.run_coroutine_threadsafe(_list(read, start, at_once, found), loop)
    try:
        while (page := asyncio.run_coroutine_threadsafe(found.get(), loop).result()) is not None:
            yield page
        listing.result()
    finally:
        listing.cancel()


async def _list(read: ReadPage, start: Range, at_once: int, found: asyncio.Queue[RangePage | None]) -> None:
    """Puts the pages of a range into a queue, and None in the end, unless nobody waits for that any more."""
    waiting = deque([start])
    asked: dict[asyncio.Task[RangePage], Range] = {}
    try:
        while waiting or asked:
            while waiting and len(asked) < at_once:
                wanted = waiting.popleft()
                asked[asyncio.ensure_future(read(wanted))] = wanted
            answered, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in answered:
                wanted, page = asked.pop(task), task.result()
                if page.more:
                    enough = len(waiting) + len(asked) >= at_once
                    waiting.extend([Range(page.last, wanted.until)] if enough else cut(wanted, page))
                await found.put(page)
    except Exception:
        await found.put(None)
        raise
    else:
        await found.put(None)
    finally:
        for task in asked:
            task.cancel()
