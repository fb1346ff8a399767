"""SelectImages: each image once, spread evenly over the workers."""

from __future__ import annotations

from collections.abc import Iterable

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms import tally
from transforms.elements import ImageObject


class SelectImages(beam.PTransform[PCollection[ImageObject], PCollection[ImageObject]]):
    """Groups the listing by uri: the one shuffle on the way of an image, and it carries no pixels.

    It takes out uris that were listed several times and, as a Reshuffle would, cuts the listing from
    the work, so that a long listing of few inputs is worked on by all workers.

    In: `ImageObject`, a uri any number of times. Out: `ImageObject`, each uri once.
    """

    def expand(self, listed: PCollection[ImageObject]) -> PCollection[ImageObject]:
        selected: PCollection[ImageObject] = (
            listed
            | "KeyByUri" >> beam.Map(lambda image: (image.uri, image)).with_output_types(tuple[str, ImageObject])
            | "GroupByUri" >> beam.GroupByKey()
            | "TakeOne" >> beam.MapTuple(_take_one).with_output_types(ImageObject)
        )
        return selected


def _take_one(uri: str, images: Iterable[ImageObject]) -> ImageObject:
    """The row that tells most: a listing's before a manifest's, then the newest."""
    tally.count("images_selected")
    return max(images, key=lambda image: (image.size >= 0, image.updated or 0.0, image.version))
