"""Some images of a run, taken at launch: to measure parity on, and to calibrate int8 with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from fsspec.asyn import get_loop, sync

from pipeline.model.cache import version_of
from pipeline.model.standin import procedural_images
from transforms.elements import DeadLetter, ImageObject, Refusal
from transforms.groups import GroupLoader, Outcome
from transforms.images.decoding import PREPROCESSING_VERSION, configure_pillow
from transforms.inputs.containers.naming import kind_of
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import Rules, ignore
from transforms.listing import ListImages
from transforms.loading import LoadImages
from transforms.records import layout
from transforms.stores.fetching import Policy
from transforms.unpacking import Unpacking

# Of the first so many listed images of each input, the sample is taken at even distances.
POOL = 1000
PROBES = 64
CALIBRATION = 128  # besides the probes, so that int8 is not measured on what it was made with
SECONDS = 10.0  # a store that hangs does not hold up the launch: what has not come by then is left out
PROCEDURAL = 8
PROCEDURAL_SEED = 7

Loading = Callable[[tuple[int, int]], LoadImages]  # how a run loads images for a model of (height, width)


class Probes(NamedTuple):
    """Attributes:
    pixels: uint8 [N, height, width, 3], N up to `PROBES` and at least one.
    source: "input", or "procedural" for images that were made where the input has none that can be read.
    """

    pixels: np.ndarray
    source: str


@dataclass(eq=False)
class Sample:
    """Images to measure with, loaded when they are asked for: what was measured on the same ones is kept.

    Attributes:
        load: gives the probes.
        calibration: rows of other images of the input; see `load_pixels`.
        depends: all that the probes depend on, for JSON; None where that is not known before they are loaded.
    """

    load: Callable[[], Probes]
    calibration: Sequence[ImageObject] = ()
    depends: Mapping[str, Any] | None = None

    @cached_property
    def probes(self) -> Probes:
        return self.load()


def procedural_sample(input_size: tuple[int, int]) -> Sample:
    """The same images at each call."""
    return Sample(partial(_procedural, input_size))


def _procedural(input_size: tuple[int, int]) -> Probes:
    square = procedural_images(PROCEDURAL, np.random.default_rng(PROCEDURAL_SEED), max(64, *input_size))
    return Probes(np.ascontiguousarray(square[:, : input_size[0], : input_size[1]]), "procedural")


def take_sample(inputs: Sequence[str], listing: ListImages, loading: Loading, input_size: tuple[int, int]) -> Sample:
    """A sample of the images of a run, the same for the same listing; what cannot be read is left out."""
    own = partial(layout.is_own, listing.output)
    pool: list[ImageObject] = []
    for text in inputs:
        listed = (image for image in list_input(text, listing.rules) if not own(image.uri))
        pool.extend(islice(_with_members(listed, listing.rules), POOL))
    images, calibration = split_pool(pool)
    load = loading(input_size)

    def probes() -> Probes:
        pixels = load_pixels(images, load)
        return Probes(pixels, "input") if len(pixels) else _procedural(input_size)

    return Sample(probes, calibration, _depends(images, load) if all(image.version for image in images) else None)


def _depends(images: Sequence[ImageObject], load: LoadImages) -> dict[str, Any]:
    return {
        "images": [[image.uri, image.version] for image in images],
        "input_size": load.input_size,
        "bounds": [load.max_image_pixels, load.max_object_bytes],
        "preprocessing": [PREPROCESSING_VERSION, load.resize, version_of("pillow")],
    }


def _with_members(listed: Iterable[ImageObject], rules: Rules) -> Iterator[ImageObject]:
    """Images, and in the place of containers the first of their members, with their bytes: as many as are looked at."""
    left = PROBES + CALIBRATION
    for image in listed:
        if not kind_of(image.uri):
            yield image
        elif left:
            for member in islice(Unpacking(rules, Policy(), ignore).images(image), left):
                left -= 1
                yield member


def split_pool(pool: Sequence[ImageObject]) -> tuple[list[ImageObject], list[ImageObject]]:
    """(probes, calibration) of a pool, at even distances, none in both; a single image is a probe."""
    count = min(len(pool), PROBES + CALIBRATION)
    chosen = [pool[i * len(pool) // count] for i in range(count)]
    stride = (PROBES + CALIBRATION) // PROBES
    return chosen[::stride], [image for i, image in enumerate(chosen) if i % stride]


def load_pixels(images: Sequence[ImageObject], loading: LoadImages) -> np.ndarray:
    """uint8 [N, height, width, 3]: as the run will load them; what fails or is late is left out.

    The run will name it.
    """
    configure_pillow(loading.max_image_pixels)
    loader = GroupLoader(replace(loading, policy=loading.policy._replace(seconds=SECONDS)))
    known = [image for image in images if not isinstance(image.content, Refusal)]

    async def load_all() -> list[Outcome]:
        tasks = [asyncio.ensure_future(loader.load(image)) for image in known]
        done, late = await asyncio.wait(tasks, timeout=SECONDS) if tasks else (set(), set())
        for task in late:
            task.cancel()
        return [task.result() for task in tasks if task in done]

    loaded = [outcome.result[1] for outcome in sync(get_loop(), load_all) if not isinstance(outcome.result, DeadLetter)]
    return np.stack(loaded) if loaded else np.zeros((0, *loading.input_size, 3), np.uint8)
