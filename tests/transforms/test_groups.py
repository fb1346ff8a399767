"""Groups of images: how many go on together, which the bundle waits for, and the room that they take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from transforms import groups
from transforms.elements import DeadLetter, ImageObject
from transforms.groups import GROUP_IMAGES
from transforms.images.threads import Decoders
from transforms.loading import LoadImages
from transforms.stores import fetching

SIZE = (16, 16)


def test_an_object_of_unknown_size_has_room_for_all_of_it_before_it_is_fetched(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a manifest that names objects of a store: its size is asked for, and is more than was made room for."""
    large, data = 3 * groups.ROOM_BYTES, Path(many[0].uri).read_bytes()
    loader = groups.GroupLoader(LoadImages(SIZE, "squash", 10**6, 10**8, fetch_concurrency=57))
    held = []

    async def describe(source: ImageObject, _: fetching.Policy) -> ImageObject:
        return source._replace(size=large, version="1")

    async def fetch(source: ImageObject, _: fetching.Policy, room: int) -> fetching.Fetched:
        held.append((room, loader._shared.budget._held))
        return fetching.Fetched(source, data, 0)

    monkeypatch.setattr(fetching, "describe", describe)
    monkeypatch.setattr(fetching, "fetch", fetch)
    sources = [ImageObject("gs://bucket/1.png")]
    ((result,), source) = loader.begin(sources).result(60), sources[0]
    assert not isinstance(groups.outcome_of(source, result).result, DeadLetter)
    assert held == [(large, large)]


def test_a_group_of_large_images_is_one_image(many: list[ImageObject]) -> None:
    group = groups.Group(100, lambda _: False)
    group.add(many[0])
    assert not group.is_full
    group.add(many[1]._replace(size=groups.GROUP_BYTES))
    assert group.is_full
    assert group.take() == [many[0], many[1]._replace(size=groups.GROUP_BYTES)]
    for image in many[:GROUP_IMAGES]:
        assert not group.is_full
        group.add(image)
    assert group.is_full


def test_images_that_are_loaded_in_turns_are_gathered_until_there_are_as_many_as_may_be(
    many: list[ImageObject],
) -> None:
    group = groups.Group(GROUP_IMAGES + 2, lambda image: image.size != 1)
    for image in many[: GROUP_IMAGES + 1]:
        group.add(image)
        assert not group.is_full
    group.add(many[0])
    assert group.is_full
    for image in group.take()[: GROUP_IMAGES - 1]:
        group.add(image)
    group.add(many[0]._replace(size=1))
    assert group.is_full


def test_a_bundle_waits_for_small_images_that_are_at_hand(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not for those of a store, nor for larger ones."""
    loader = groups.GroupLoader(LoadImages(SIZE, fetch_concurrency=53))
    elsewhere = ImageObject("gs://bucket/1.png")
    for small in (True, False):
        monkeypatch.setattr(Decoders, "take_turns", small)
        assert loader.in_turns(many[0]) is small
        assert not loader.in_turns(elsewhere)
    monkeypatch.setattr(Decoders, "take_turns", True)
    slowly = Decoders(1, 60)

    def submit(_: Decoders, group: Sequence[Any], read: Any, decode: Any) -> Any:
        return slowly_submit(group, lambda one: (time.sleep(0.05), read(one))[1], decode)

    slowly_submit = slowly.submit
    monkeypatch.setattr(Decoders, "submit", submit)
    assert loader.begin(many[:3]).done()
    monkeypatch.setattr(Decoders, "take_turns", False)
    later = loader.begin(many[:3])
    assert not later.done()
    assert len(later.result(60)) == 3
