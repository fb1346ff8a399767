"""What every store must give that lists from any name on: in ranges, what it gives page by page."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.integration.conftest import Server
from tests.transforms.test_listing import list_all
from transforms.elements import ImageObject
from transforms.inputs import inputs, paging, ranges
from transforms.inputs.inputs import Part, list_input, list_part, split_input
from transforms.inputs.ranges import WHOLE, Range, RangePage, ReadPage
from transforms.stores import filesystems, storage

ODD = ["a b", "a+b", "a%20b", "\u00e4", "a\u0308", "日本", "😀", "~tilde", "0", "Z", "_", "a'b", 'a"b', "a&b=c", "a#b"]
ODD += ["a?b", "[1]", "*"]


def check_split(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flat prefix is cut into ranges of names, which give what the plain listing gives, in a pipeline, too. One with
    folders among its first names is not; and one with folders behind them gives their images all the same."""
    monkeypatch.setattr(paging, "PAGE", 7)
    monkeypatch.setattr(paging, "FLAT_PAGES", 3)
    monkeypatch.setattr(inputs, "WANTED_PARTS", 4)
    numbers = random.Random(2).sample(range(1000), 300)
    flat = [f"only/{number:04}.jpg" for number in numbers] + [f"only/{name}.jpg" for name in ODD]
    late = [f"late/{number:04}.jpg" for number in numbers[:60]] + [f"late/z{i % 3}/{i}.jpg" for i in range(40)]
    mixed = [f"mixed/{number:04}.jpg" for number in numbers[:60]] + [f"mixed/0{i % 3}/{i}.jpg" for i in range(40)]
    for name in (*flat, *late, *mixed, "only/notes.txt", "only-not/1.jpg", "only.jpg", "late/empty/"):
        storage.write_bytes(server.uri(name), b"x")
    filesystems.filesystem(server.uri("")).invalidate_cache()
    for folder, names in (("only", flat), ("late", late), ("mixed", mixed)):
        skipped: list[str] = []

        def note(name: str, _: str, told: list[str] = skipped) -> None:
            told.append(name)

        split = list(split_input(server.uri(folder), skipped=note))
        parts = [each for each in split if isinstance(each, Part)]
        images = [each for each in split if isinstance(each, ImageObject)]
        of_parts = [list(list_part(part, skipped=note)) for part in parts]
        images += [image for each in of_parts for image in each]
        plain = sorted(image for page in paging.pages(server.uri(f"{folder}/"), True) for image in page.objects)
        assert sorted(images) == [image for image in plain if image.uri.endswith(".jpg")]
        assert sorted(image.uri for image in images) == sorted(map(server.uri, names))
        assert skipped == [image.uri for image in plain if not image.uri.endswith(".jpg")]
        in_ranges = [each for part, each in zip(parts, of_parts, strict=True) if part.within != WHOLE]
        assert bool(in_ranges) == (folder == "only" or (folder == "late" and server.scheme == "s3"))
        if folder == "only":
            assert len(parts) == len(in_ranges) >= 8
            assert sum(map(len, in_ranges)) > len(names) / 2
    globbed = server.uri("only/**/*.jpg")
    found = [list_part(each) if isinstance(each, Part) else [each] for each in split_input(globbed)]
    assert sorted(image.uri for each in found for image in each) == sorted(map(server.uri, flat))
    listed = list_all(server.uri("only"), storage_options=server.options)
    assert listed == (sorted(map(server.uri, flat)), {".txt": 1})


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
