"""ListImages: from inputs (globs, folders, manifests) to image objects."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms import tally
from transforms.elements import ImageObject
from transforms.inputs.inputs import list_input, split_input
from transforms.records import layout
from transforms.records.blocks import Sighting, pack, unpack
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions

BESIDE = 1000  # images beside the prefixes of a store, in one block


@dataclass
class ListImages(beam.PTransform[PCollection[str], PCollection[ImageObject]]):
    """Lists inputs within the graph, so that a long listing is never in the launcher's memory.

    In: str, inputs as `inputs.list_input` takes them. Out: `ImageObject`; one uri may come several times.

    Attributes:
        all_files: take the files of folders whatever their extension.
        uri_column: the column of CSV, JSON Lines and Parquet manifests.
        storage_options: of the stores, see `filesystems.configure`.
        output: of the run; what runs have written there is not listed.
    """

    all_files: bool = False
    uri_column: str = "uri"
    storage_options: StorageOptions = field(default_factory=dict)
    output: str = ""

    def expand(self, inputs: PCollection[str]) -> PCollection[ImageObject]:
        # Prefixes of stores are listed at once, by as many workers as there are.
        listed: PCollection[ImageObject] = (
            inputs
            | "Split" >> beam.ParDo(_Split(self))
            | "Spread" >> beam.Reshuffle()
            | "List" >> beam.ParDo(_List(self)).with_output_types(ImageObject)
        )
        return listed


class _ListingDoFn(beam.DoFn):
    def __init__(self, options: ListImages):
        self._options = options

    def setup(self) -> None:
        filesystems.configure(self._options.storage_options)


class _Split(_ListingDoFn):
    def process(self, element: str) -> Iterator[tuple[str, str, bytes]]:
        """(input, prefix, block of images that lie beside the prefixes: when it is not empty, they alone are meant)."""
        beside: list[Sighting] = []
        for found in split_input(element, self._options.all_files, _count_skipped):
            if not isinstance(found, ImageObject):
                yield *found, b""
                continue
            beside.append(Sighting.listed(found))
            if len(beside) >= BESIDE:
                yield element, "", pack(beside)
                beside.clear()
        if beside:
            yield element, "", pack(beside)


class _List(_ListingDoFn):
    def process(self, element: tuple[str, str, bytes]) -> Iterator[ImageObject]:
        """Leaves out what runs of the output have written, and counts the rest."""
        for image in self._listed(*element):
            if not layout.is_own(self._options.output, image.uri):
                tally.count("objects_listed")
                yield image

    def _listed(self, text: str, prefix: str, beside: bytes) -> Iterator[ImageObject]:
        if beside:
            return (sighting.image() for sighting in unpack(beside))
        options = self._options
        return list_input(text, options.all_files, options.uri_column, _count_skipped, prefix)


def _count_skipped(_: ImageObject) -> None:
    tally.count("files_skipped")
