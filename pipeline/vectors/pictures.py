"""Images once more, by their uris: fetched, or read out of their containers, and decoded as runs do it."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from pipeline.options.table import BY_NAME
from transforms.elements import ImageObject, Refusal
from transforms.images.decoding import DecodedImage, ImageError, configure_pillow, decode_image
from transforms.inputs.containers.naming import container_of
from transforms.inputs.rules import DEFAULT_RULES, ignore
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait
from transforms.unpacking import Unpacking

MAX_IMAGE_PIXELS: int = BY_NAME["max_image_pixels"].default
THUMBNAIL_SIDE = 224
JPEG_QUALITY = 85


class UnreadableError(Exception):
    """An image that cannot be had or decoded; its text says why."""


class Encoded(NamedTuple):
    """Attributes:
    source: as it was asked for.
    data: its bytes, or why there are none.
    changed: they are not of the version that was asked for.
    """

    source: ImageObject
    data: bytes | UnreadableError
    changed: bool = False


class Thumbnail(NamedTuple):
    """Attributes:
    jpeg: the image, its longest side as asked for.
    width, height: of it.
    """

    jpeg: bytes
    width: int
    height: int


def read_images(images: Sequence[ImageObject], policy: Policy, deadline: float = math.inf) -> Iterator[Encoded]:
    """The bytes of images, in any order. A container is read once, up to the last of its members that is wanted.

    Args:
        images: of which `uri` and, where it is known, `version` count.
        policy: how often and how long one is tried.
        deadline: on the clock of `time.monotonic`, when containers are read no further.
    """
    containers: dict[str, dict[str, ImageObject]] = {}
    for image in images:
        if container := container_of(image.uri):
            containers.setdefault(container, {})[image.uri] = image
        else:
            yield _fetched(image, policy)
    for container, members in containers.items():
        yield from _members(container, members, policy, deadline)


def _fetched(image: ImageObject, policy: Policy) -> Encoded:
    try:
        fetched = fetch_and_wait(image, policy)
    except FetchError as e:
        return Encoded(image, UnreadableError(str(e)))
    except Exception as e:  # stores have error classes of their own, and some speak before the first try
        return Encoded(image, UnreadableError(f"{type(e).__name__}: {e}"))
    return Encoded(image, fetched.data, bool(fetched.source.listed_version))


def _members(container: str, wanted: dict[str, ImageObject], policy: Policy, deadline: float) -> Iterator[Encoded]:
    left, why = dict(wanted), "its container has no such image"
    unpacking = Unpacking(DEFAULT_RULES, policy, ignore)
    row = unpacking.described(ImageObject(container))
    for member in [row] if isinstance(row.content, Refusal) else unpacking.images(row):
        if member.uri == container and isinstance(member.content, Refusal):
            why = member.content.message
        elif image := left.pop(member.uri, None):
            changed = image.version not in ("", member.version)
            yield Encoded(image, _bytes_of(member), changed)
        if not left:
            return
        if time.monotonic() > deadline:
            why = "reading its container up to it takes too long"
            break
    for image in left.values():
        yield Encoded(image, UnreadableError(why))


def _bytes_of(member: ImageObject) -> bytes | UnreadableError:
    if isinstance(member.content, Refusal):
        return UnreadableError(member.content.message)
    return member.content or b""


def decoded(encoded: Encoded, size: tuple[int, int], resize: str) -> DecodedImage:
    """Pixels of (height, width), as `decode_image` makes them.

    Raises:
        UnreadableError: there are no bytes, or they are no image that is read.
    """
    if isinstance(encoded.data, UnreadableError):
        raise encoded.data
    configure_pillow(MAX_IMAGE_PIXELS)
    try:
        return decode_image(encoded.data, size, resize, MAX_IMAGE_PIXELS)
    except ImageError as e:
        raise UnreadableError(e.message) from None


def thumbnail(encoded: Encoded, side: int = THUMBNAIL_SIDE) -> Thumbnail:
    """The whole image, its longest side `side`, of its own aspect ratio. Raises as `decoded` does."""
    image = decoded(encoded, (side, side), "squash")
    scale = side / max(image.width, image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    file = io.BytesIO()
    Image.fromarray(image.pixels).resize(size, Image.Resampling.BILINEAR).save(file, "JPEG", quality=JPEG_QUALITY)
    return Thumbnail(file.getvalue(), *size)
