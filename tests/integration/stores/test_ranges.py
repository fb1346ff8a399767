"""Flat prefixes of real servers, listed in ranges of names: together they are the plain listing."""

from __future__ import annotations

import random

import pytest

from tests.integration.conftest import Server
from transforms.inputs import paging
from transforms.stores import filesystems, storage

ODD = ["a b", "a+b", "a%20b", "\u00e4", "a\u0308", "日本", "😀", "~tilde", "0", "Z", "_", "a'b", 'a"b', "a&b=c", "a#b"]
ODD += ["a?b", "[1]", "*"]


def put(server: Server, names: list[str]) -> None:
    for name in names:
        storage.write_bytes(server.uri(name), b"x")


def listed(uri: str, recursive: bool, many: bool) -> tuple[list[str], list[str]]:
    filesystems.filesystem(uri).invalidate_cache()
    found = list((paging.many_pages if many else paging.pages)(uri, recursive))
    return [image.uri for page in found for image in page.objects], [name for page in found for name in page.folders]


@pytest.mark.parametrize("recursive", [True, False])
def test_ranges_give_what_the_plain_listing_gives(
    server: Server, recursive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE", 7)
    numbers = random.Random(1).sample(range(1000), 90)
    names = [f"flat/{number:04}.jpg" for number in numbers] + [f"flat/{name}.jpg" for name in ODD]
    names += [f"flat/deep{number % 5}/{number}.jpg" for number in numbers[:40]]
    put(server, [*names, "flat-not/1.jpg", "flat.jpg"])
    plain, folders = listed(server.uri("flat/"), recursive, many=False)
    images, prefixes = listed(server.uri("flat/"), recursive, many=True)
    expected = [server.uri(name) for name in names if recursive or name.count("/") == 1]
    assert sorted(images) == sorted(plain) == sorted(expected)
    assert sorted(set(prefixes)) == sorted(set(folders))


def test_objects_that_are_listed_are_those_that_the_plain_listing_tells(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With versions, sizes and times."""
    monkeypatch.setattr(paging, "PAGE", 5)
    put(server, [f"in/{number:03}.jpg" for number in range(60)])
    uri = server.uri("in/")
    plain = [image for page in paging.pages(uri, recursive=True) for image in page.objects]
    many = [image for page in paging.many_pages(uri, recursive=True) for image in page.objects]
    assert sorted(many) == sorted(plain)
    assert all(image.version and image.size == 1 for image in many)
