"""ListImages: from inputs (globs, folders, manifests) to image objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms import tally
from transforms.elements import ImageObject
from transforms.inputs import list_input


@dataclass
class ListImages(beam.PTransform[PCollection[str], PCollection[ImageObject]]):
    """Lists inputs within the graph, so that a long listing is never in the launcher's memory.

    In: str, inputs as `inputs.list_input` takes them. Out: `ImageObject`; one uri may come several times.

    Attributes:
        all_files: take the files of folders whatever their extension.
        uri_column: the column of CSV, JSON Lines and Parquet manifests.
    """

    all_files: bool = False
    uri_column: str = "uri"

    def expand(self, inputs: PCollection[str]) -> PCollection[ImageObject]:
        list_each = beam.ParDo(_List(self.all_files, self.uri_column)).with_output_types(ImageObject)
        listed: PCollection[ImageObject] = inputs | "List" >> list_each
        return listed


class _List(beam.DoFn):
    def __init__(self, all_files: bool, uri_column: str):
        self._all_files = all_files
        self._uri_column = uri_column

    def process(self, element: str) -> Iterator[ImageObject]:
        for image in list_input(element, self._all_files, self._uri_column, _count_skipped):
            tally.count("objects_listed")
            yield image


def _count_skipped(_: ImageObject) -> None:
    tally.count("files_skipped")
