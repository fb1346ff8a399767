"""LoadImages: order, bounds, and a name for every failure."""

from __future__ import annotations

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
from transforms import groups, loading
from transforms.elements import DeadLetter, ImageObject, LoadedBatch
from transforms.groups import GROUP_IMAGES
from transforms.images.decoding import decode_image
from transforms.images.threads import Decoders
from transforms.loading import LoadImages
from transforms.stores import fetching, reading, storage

SIZE = (16, 16)


def load(sources: list[ImageObject], **options: Any) -> tuple[list[Any], list[DeadLetter]]:
    """What LoadImages gives for one bundle of sources, batches one by one."""
    transform = LoadImages(
        SIZE, "squash", options.pop("max_image_pixels", 10**6), options.pop("max_object_bytes", 10**6), **options
    )
    loaded, failed = Collect(), Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        main, dead = pipeline | beam.Create([sources]) | beam.FlatMap(lambda x: x) | transform
        _ = main | "Loaded" >> loaded
        _ = dead | "Failed" >> failed
    return [one for batch in loaded.elements for one in batch], failed.elements


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

    monkeypatch.setattr(groups, "decode_image", decode)
    monkeypatch.setattr(groups, "Decoders", functools.partial(Decoders, seconds=0.5))
    try:
        loaded, failed = load(many, threads=3, fetch_concurrency=61)  # numbers of its own: pools are kept by them
    finally:
        end.set()
    assert [info.source for info, _ in loaded] == [image for i, image in enumerate(many) if i not in (3, 17)]
    assert [(letter.source, letter.stage, letter.error) for letter in failed] == [
        (many[i], "decode", "DecodeTimeout") for i in (3, 17)
    ]


@pytest.mark.parametrize("fetch_concurrency", [3, 12])
def test_no_more_is_in_flight_than_allowed(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch, fetch_concurrency: int
) -> None:
    """The look-ahead is filled, never passed, while a slow stage takes the batches one by one."""
    lock, held, most = threading.Lock(), 0, 0
    read = fetching.read_local

    def counted(*arguments: Any) -> Any:
        nonlocal held, most
        with lock:
            held += 1
            most = max(most, held)
        return read(*arguments)

    def take(batch: LoadedBatch) -> None:
        nonlocal held
        time.sleep(0.01)
        with lock:
            held -= len(batch)

    monkeypatch.setattr(fetching, "read_local", counted)
    load_dofn = loading._Load(LoadImages(SIZE, "squash", 10**6, 10**6, fetch_concurrency, batch_size=2))
    load_dofn.setup()
    load_dofn.start_bundle()
    for image in many:
        for batch in load_dofn.process(image):
            take(batch)
    for windowed in load_dofn.finish_bundle():
        take(windowed.value)
    load_dofn.teardown()
    assert held == 0
    assert 1 < most <= 2 * fetch_concurrency + 2


@pytest.mark.parametrize("size", [1, 3, 8, 64])
def test_batches_are_full_but_for_the_last_one(many: list[ImageObject], size: int, tmp_path: Path) -> None:
    gone = [ImageObject(str(tmp_path / f"gone {i}.png"), 5, "v") for i in range(7)]
    load_dofn = loading._Load(LoadImages(SIZE, "squash", 10**6, 10**6, batch_size=size))
    load_dofn.setup()
    load_dofn.start_bundle()
    mixed = [*many[:5], *gone[:3], *many[5:30], *gone[3:], *many[30:]]
    results = [result for image in mixed for result in load_dofn.process(image)]
    results += [windowed.value for windowed in load_dofn.finish_bundle()]
    values = [getattr(result, "value", result) for result in results]
    values = [getattr(value, "value", value) for value in values]
    sizes = [len(value) for value in values if isinstance(value, LoadedBatch)]
    assert sizes == [size] * (40 // size) + [40 % size] * (40 % size > 0)
    assert sum(isinstance(value, DeadLetter) for value in values) == 7
    load_dofn.teardown()


def test_files_that_are_read_late_are_read_at_once(many: list[ImageObject], monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a disk behind a network: by many more threads than decode."""
    read, lock, at_work, most = reading.read_local, threading.Lock(), 0, 0

    def slow(*arguments: Any) -> Any:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        time.sleep(5 * groups.SOON_SECONDS)
        with lock:
            at_work -= 1
        return read(*arguments)

    monkeypatch.setattr(reading, "read_local", slow)
    loaded, failed = load(many * 5, threads=1, fetch_concurrency=63)
    assert failed == []
    assert [info.source for info, _ in loaded] == many * 5
    assert most > 8


def test_a_file_that_cannot_be_read_at_first_is_tried_again(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failed_once = reading.read_local, set[str]()

    def failing(source: ImageObject, max_bytes: int) -> Any:
        if source.uri not in failed_once:
            failed_once.add(source.uri)
            raise OSError(5, "Input/output error")
        return read(source, max_bytes)

    monkeypatch.setattr(reading, "read_local", failing)
    loaded, failed = load(many)
    assert failed == []
    assert [info.source for info, _ in loaded] == many
    assert len(failed_once) == 40


def test_images_that_come_with_their_bytes_are_decoded_at_once(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each decode waits for one of two other groups: one after the other they would wait in vain."""
    together = threading.Barrier(3)

    def decode(data: bytes, *options: Any) -> Any:
        together.wait(20)
        return decode_image(data, *options)

    monkeypatch.setattr(groups, "decode_image", decode)
    members = [image._replace(content=Path(image.uri).read_bytes()) for image in many[:GROUP_IMAGES]]
    loaded, failed = load(members * 3, threads=3, fetch_concurrency=59)
    assert failed == []
    assert [info.source for info, _ in loaded] == many[:GROUP_IMAGES] * 3


def test_no_more_members_are_asked_for_than_the_budget_holds(
    many: list[ImageObject], monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, decoded = threading.Event(), []

    def decode(data: bytes, *options: Any) -> Any:
        go_on.wait()
        decoded.append(data)
        return decode_image(data, *options)

    monkeypatch.setattr(groups, "decode_image", decode)
    contents = [Path(image.uri).read_bytes() for image in many]
    budget = sum(map(len, contents[: GROUP_IMAGES + 5]))
    load_dofn = loading._Load(LoadImages(SIZE, "squash", 10**6, 10**6, prefetch_bytes=budget))
    load_dofn.setup()
    load_dofn.start_bundle()
    asked, batches = 0, []

    def work() -> None:
        nonlocal asked
        for image, content in zip(many, contents, strict=True):
            asked += 1
            batches.extend(load_dofn.process(image._replace(content=content)))
        batches.extend(windowed.value for windowed in load_dofn.finish_bundle())

    bundle = threading.Thread(target=work)
    bundle.start()
    while asked < 2 * GROUP_IMAGES:
        time.sleep(0.01)
    bundle.join(0.3)
    assert asked == 2 * GROUP_IMAGES  # a group is held, and one waits for room
    go_on.set()
    bundle.join(60)
    assert sum(len(batch) for batch in batches) == len(decoded) == len(many)
    load_dofn.teardown()
