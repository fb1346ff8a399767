"""What every store must give that lists from any name on: in ranges, what it gives page by page."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Server
from transforms.inputs import paging, ranges
from transforms.inputs.inputs import list_input
from transforms.inputs.ranges import Range, RangePage, ReadPage
from transforms.stores import filesystems, storage

ODD = ["a b", "a+b", "a%20b", "\u00e4", "a\u0308", "日本", "😀", "~tilde", "0", "Z", "_", "a'b", 'a"b', "a&b=c", "a#b"]
ODD += ["a?b", "[1]", "*"]


def check_ranges(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of names of every kind, flat and in folders; ranges are really asked for. An input gives the same, and so does a
    glob of one folder, whose listing stops at slashes."""
    asked: list[Range] = []

    def noted(read: ReadPage, start: Range) -> Iterator[RangePage]:
        async def reading(wanted: Range) -> RangePage:
            asked.append(wanted)
            return await read(wanted)

        return ranges.read_at_once(reading, start)

    monkeypatch.setattr(paging, "PAGE", 7)
    monkeypatch.setattr(paging, "read_at_once", noted)
    numbers = random.Random(1).sample(range(1000), 90)
    names = [f"flat/{number:04}.jpg" for number in numbers] + [f"flat/{name}.jpg" for name in ODD]
    names += [f"flat/deep{number % 5}/{number}.jpg" for number in numbers[:40]]
    for name in (*names, "flat-not/1.jpg", "flat.jpg"):
        storage.write_bytes(server.uri(name), b"x")
    uri = server.uri("flat/")
    filesystems.filesystem(uri).invalidate_cache()
    images = sorted(image for page in paging.many_pages(uri) for image in page.objects)
    listed = [image.uri for image in images]
    missing, extra = set(map(server.uri, names)) - set(listed), set(listed) - set(map(server.uri, names))
    assert (missing, extra, len(listed)) == (set(), set(), len(names))
    plain = sorted(image for page in paging.pages(uri, recursive=True) for image in page.objects)
    assert images == plain  # with versions, sizes and times
    assert sum(bool(each.until) for each in asked) >= 3
    assert sorted(list_input(server.uri("flat"))) == plain
    flat = [image for image in plain if image.uri.count("/") == uri.count("/")]
    assert sorted(list_input(server.uri("flat/*.jp[g]"))) == flat  # which is no object's very name
