"""Small pictures of images, as many as a page can carry, within a time that a person waits."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.vectors.pictures import Encoded, UnreadableError, read_images, thumbnail
from transforms.elements import ImageObject
from transforms.inputs.containers.naming import container_of
from transforms.stores.fetching import Policy

# A page with a picture less is better than one that nobody waits for.
PATIENCE = Policy(retries=1, seconds=10.0, whole_seconds=30.0)
SECONDS = 120.0
SIDE = 96
READERS = 8
LATE = f"the {SECONDS:.0f} s that a report takes for pictures were over"


@dataclass(frozen=True)
class Picture:
    """Attributes:
    data: a JPEG in base64; "" where there is none.
    width, height: of it.
    why: why there is none, or what is to be known of it.
    """

    data: str = ""
    width: int = SIDE
    height: int = SIDE
    why: str = ""


def take_pictures(uris: Iterable[str], versions: Mapping[str, str], most: int) -> dict[str, Picture]:
    """Pictures by uri, of the first `most` different ones; those that could not be had have a reason.

    Args:
        versions: of the images whose vectors are shown; a picture of a later one says so.
    """
    wanted = list(dict.fromkeys(uris))[:most]
    deadline = time.monotonic() + SECONDS
    images = [ImageObject(uri, version=versions.get(uri, "")) for uri in wanted]
    containers: dict[str, list[ImageObject]] = {}
    for image in images:
        containers.setdefault(container_of(image.uri) or image.uri, []).append(image)
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(lambda some: list(_pictures(some, deadline)), containers.values())
        pictures = {uri: picture for some in found for uri, picture in some}
    return {uri: pictures[uri] for uri in wanted}


def _pictures(images: Sequence[ImageObject], deadline: float) -> Iterator[tuple[str, Picture]]:
    """Of one loose image, or of the members of one container."""
    left = {image.uri for image in images}
    if time.monotonic() < deadline:
        for encoded in read_images(images, PATIENCE, deadline):
            left.discard(encoded.source.uri)
            yield encoded.source.uri, _picture(encoded)
    for uri in left:
        yield uri, Picture(why=LATE)


def _picture(encoded: Encoded) -> Picture:
    try:
        small = thumbnail(encoded, SIDE)
    except UnreadableError as e:
        return Picture(why=str(e))
    data = base64.b64encode(small.jpeg).decode()
    return Picture(data, small.width, small.height, "it has changed since it was embedded" if encoded.changed else "")
