"""LoadImages: order, bounds, and a name for every failure."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import os
import threading
import time
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from tests.conftest import photo
from transforms import loading
from transforms.elements import DeadLetter, ImageObject
from transforms.images.decoding import decode_image
from transforms.images.threads import Decoders
from transforms.loading import ByteBudget, LoadImages
from transforms.stores import fetching, storage

SIZE = (16, 16)


def load(sources: list[ImageObject], **options: Any) -> tuple[list[Any], list[DeadLetter]]:
    """What LoadImages gives for one bundle of sources."""
    transform = LoadImages(
        SIZE, "squash", options.pop("max_image_pixels", 10**6), options.pop("max_object_bytes", 10**6), **options
    )
    loaded, failed = Collect(), Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        main, dead = pipeline | beam.Create([sources]) | beam.FlatMap(lambda x: x) | transform
        _ = main | "Loaded" >> loaded
        _ = dead | "Failed" >> failed
    return loaded.elements, failed.elements


@pytest.fixture
def many(tmp_path: Path) -> list[ImageObject]:
    for i in range(40):
        photo(30 + i, 20, i).save(tmp_path / f"{i:02}.png")
    return [storage.describe(str(tmp_path / f"{i:02}.png")) for i in range(40)]


@pytest.mark.parametrize("fetch_concurrency", [1, 3, 32])
def test_pixels_come_in_the_order_of_the_input(many: list[ImageObject], fetch_concurrency: int) -> None:
    loaded, failed = load(many, fetch_concurrency=fetch_concurrency)
    assert failed == []
    assert [info.source for info, _ in loaded] == many
    for info, pixels in loaded:
        data = Path(info.source.uri).read_bytes()
        np.testing.assert_array_equal(pixels, decode_image(data, SIZE, "squash", 10**6).pixels)
        assert info.sha256 == hashlib.sha256(data).hexdigest()
        assert (info.format, info.height) == ("PNG", 20)


def test_the_rows_of_manifests_are_completed(many: list[ImageObject]) -> None:
    loaded, _ = load([ImageObject(image.uri) for image in many[:3]])
    assert [info.source for info, _ in loaded] == many[:3]


def test_every_failure_is_named_and_nothing_else_is_lost(tmp_path: Path, many: list[ImageObject]) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no image")
    large = tmp_path / "large.png"
    photo(400, 300).save(large)
    os.mkfifo(tmp_path / "pipe.jpg")
    bad = [
        ImageObject(str(tmp_path / "gone.jpg")),
        ImageObject(str(tmp_path / "gone too.jpg"), 5, "v"),
        storage.describe(str(text)),
        storage.describe(str(large)),
        ImageObject(str(tmp_path)),
        ImageObject(str(tmp_path / "pipe.jpg")),
        ImageObject("nosuchscheme://bucket/a.jpg"),
    ]
    loaded, failed = load([*bad[:3], *many, *bad[3:]], max_object_bytes=large.stat().st_size - 1)
    assert [info.source for info, _ in loaded] == many
    assert [(letter.source.uri, letter.stage, letter.error) for letter in failed] == [
        (bad[0].uri, "fetch", "NotFound"),
        (bad[1].uri, "fetch", "NotFound"),
        (bad[2].uri, "decode", "NotAnImage"),
        (bad[3].uri, "fetch", "ObjectTooLarge"),
        (bad[4].uri, "fetch", "NotAFile"),
        (bad[5].uri, "fetch", "NotAFile"),
        (bad[6].uri, "fetch", "FetchFailed"),
    ]
    assert all(letter.message and "\n" not in letter.message for letter in failed)


def test_an_image_that_is_decoded_too_long_is_given_up(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of three threads are held until the end; the other images are loaded, in their order."""
    end, held = threading.Event(), [Path(many[i].uri).read_bytes() for i in (3, 17)]

    def decode(data: bytes, *options: Any) -> Any:
        if data in held:
            end.wait()
        return decode_image(data, *options)

    monkeypatch.setattr(loading, "decode_image", decode)
    monkeypatch.setattr(loading, "Decoders", functools.partial(Decoders, seconds=0.5))
    try:
        loaded, failed = load(many, threads=3, fetch_concurrency=61)  # numbers of its own: pools are kept by them
    finally:
        end.set()
    assert [info.source for info, _ in loaded] == [image for i, image in enumerate(many) if i not in (3, 17)]
    assert [(letter.source, letter.stage, letter.error) for letter in failed] == [
        (many[i], "decode", "DecodeTimeout") for i in (3, 17)
    ]


def test_no_more_is_in_flight_than_allowed(many: list[ImageObject], monkeypatch: pytest.MonkeyPatch) -> None:
    """The look-ahead is filled, never passed, while a slow stage takes the images one by one."""
    lock, held, most = threading.Lock(), 0, 0
    fetch = fetching.fetch

    async def counted(*arguments: Any) -> Any:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return await fetch(*arguments)

    def take(_: Any) -> None:
        nonlocal held
        with lock:
            held -= 1

    monkeypatch.setattr(fetching, "fetch", counted)
    load_dofn = loading._Load(LoadImages(SIZE, "squash", 10**6, 10**6, fetch_concurrency=3))
    load_dofn.setup()
    load_dofn.start_bundle()
    for image in many:
        for loaded in load_dofn.process(image):
            take(loaded)
    for loaded in load_dofn.finish_bundle():
        take(loaded)
    load_dofn.teardown()
    assert held == 0
    assert 1 < most <= 6


def test_images_that_come_with_their_bytes_are_decoded_at_once(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each decode waits for two others: one after the other they would wait in vain."""
    together = threading.Barrier(3)

    def decode(data: bytes, *options: Any) -> Any:
        together.wait(20)
        return decode_image(data, *options)

    monkeypatch.setattr(loading, "decode_image", decode)
    members = [image._replace(content=Path(image.uri).read_bytes()) for image in many[:39]]
    loaded, failed = load(members, threads=3, fetch_concurrency=59)
    assert failed == []
    assert [info.source for info, _ in loaded] == many[:39]


def test_no_more_members_are_asked_for_than_the_budget_holds(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, decoded = threading.Event(), []

    def decode(data: bytes, *options: Any) -> Any:
        go_on.wait()
        decoded.append(data)
        return decode_image(data, *options)

    monkeypatch.setattr(loading, "decode_image", decode)
    contents = [Path(image.uri).read_bytes() for image in many]
    budget = sum(map(len, contents[:5]))
    load_dofn = loading._Load(LoadImages(SIZE, "squash", 10**6, 10**6, prefetch_bytes=budget))
    load_dofn.setup()
    load_dofn.start_bundle()
    asked, loaded = 0, []

    def work() -> None:
        nonlocal asked
        for image, content in zip(many, contents, strict=True):
            asked += 1
            loaded.extend(load_dofn.process(image._replace(content=content)))
        loaded.extend(load_dofn.finish_bundle())

    bundle = threading.Thread(target=work)
    bundle.start()
    while asked < 6:
        time.sleep(0.01)
    bundle.join(0.3)
    assert asked == 6  # five are held, and one waits for room
    go_on.set()
    bundle.join(60)
    assert len(loaded) == len(decoded) == len(many)
    load_dofn.teardown()


def test_the_byte_budget_is_kept_and_oversized_ones_go_alone() -> None:
    async def work(size: int) -> None:
        nonlocal held, most
        async with budget.hold(size):
            held += size
            assert held <= 100 or held == size
            most = max(most, held)
            await asyncio.sleep(0.002)
            held -= size

    async def work_on_all() -> None:
        await asyncio.wait_for(asyncio.gather(*(work(size) for size in sizes)), 30)

    budget, held, most = ByteBudget(100), 0, 0
    sizes = [30, 60, 250, 10, 100, 90, 5, 5, 0, 40] * 4
    asyncio.run(work_on_all())
    assert held == 0
    assert most == 250
