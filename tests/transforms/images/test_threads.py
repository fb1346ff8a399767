"""Decodes that take too long: given up, and the others go on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from transforms.images.decoding import ImageError
from transforms.images.threads import Decoders


@pytest.fixture
def end() -> Iterator[threading.Event]:
    """What decodes that never end wait for, so that the tests do."""
    event = threading.Event()
    yield event
    event.set()


def double(value: int) -> int:
    return 2 * value


async def refusal(decoders: Decoders, end: threading.Event) -> ImageError:
    with pytest.raises(ImageError) as refused:
        await decoders.run(end.wait)
    return refused.value


@pytest.mark.parametrize("threads", [1, 2])
def test_images_go_on_when_every_thread_is_held(threads: int, end: threading.Event) -> None:
    async def work() -> list[int]:
        decoders = Decoders(threads, seconds=0.1)
        given_up = await asyncio.gather(*(refusal(decoders, end) for _ in range(5)))
        assert {error.error for error in given_up} == {"DecodeTimeout"}
        assert "0 s" in given_up[0].message
        found = await asyncio.gather(*(decoders.run(double, value) for value in range(20)))
        end.set()
        return found

    assert asyncio.run(asyncio.wait_for(work(), 60)) == list(range(0, 40, 2))


def test_no_more_are_decoded_at_once_than_there_are_threads(end: threading.Event) -> None:
    """Neither while one is given up, nor after it has come back."""
    lock, at_work, most = threading.Lock(), 0, 0
    both = threading.Event()

    def count() -> None:
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
        both.wait(0.005)
        with lock:
            at_work -= 1

    async def work() -> tuple[int, int]:
        nonlocal most
        decoders = Decoders(2, seconds=0.3)
        await refusal(decoders, end)
        await asyncio.gather(*(decoders.run(count) for _ in range(20)))
        beside_it, most = most, 0
        end.set()
        while decoders._given_up:
            await asyncio.sleep(0.01)
        await asyncio.gather(*(decoders.run(count) for _ in range(20)))
        return beside_it, most

    assert asyncio.run(asyncio.wait_for(work(), 60)) == (1, 2)


def test_what_a_decode_raises_is_raised() -> None:
    def fail() -> None:
        raise ImageError("CorruptImage", "broken")

    async def work() -> None:
        await Decoders(1).run(fail)

    with pytest.raises(ImageError, match="broken"):
        asyncio.run(work())
