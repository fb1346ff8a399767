"""ListImages: from inputs (globs, folders, manifests, inventories) to image objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import DoOutputsTuple, PCollection, TaggedOutput

from transforms import tally
from transforms.bundles import at_the_end
from transforms.elements import ImageObject
from transforms.holding import HoldLease
from transforms.inputs import kinds
from transforms.inputs.inputs import Part, list_part, split_input
from transforms.inputs.rules import DEFAULT_RULES, Rules
from transforms.records import layout
from transforms.records.blocks import Sighting, pack, unpack
from transforms.records.leases import Lease
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions

LISTED = "listed"
LEFT_OUT = "left_out"
BESIDE = 1000  # images beside the prefixes of a store, in one block


@dataclass
class ListImages(beam.PTransform[PCollection[str], Mapping[str, PCollection[Any]]]):
    """Lists inputs within the graph, so that a long listing is never in the launcher's memory.

    In: str, inputs as `inputs.list_input` takes them. Out: {"listed": `ImageObject`; one uri may come several times,
    "left_out": dicts, for `kinds.sum_kinds`: files of folders and rows of inventories that are
    left out, by kind (see `leaving_out.kind_left_out` and `kinds`)}.

    Attributes:
        rules: how inputs are understood.
        storage_options: of the stores, see `filesystems.configure`.
        output: of the run; what runs have written there is not listed.
        lease: of the run, see `HoldLease`.
    """

    rules: Rules = DEFAULT_RULES
    storage_options: StorageOptions = field(default_factory=dict)
    output: str = ""
    lease: Lease | None = None

    def expand(self, inputs: PCollection[str]) -> dict[str, PCollection[Any]]:
        # Prefixes of stores are listed at once, by as many workers as there are.
        split: DoOutputsTuple = inputs | "Split" >> beam.ParDo(_Split(self)).with_outputs(LEFT_OUT, main="parts")
        listed: DoOutputsTuple = (
            split["parts"]
            | "Spread" >> beam.Reshuffle()
            | "HoldLease" >> HoldLease(self.lease, self.storage_options)
            | "List" >> beam.ParDo(_List(self)).with_output_types(ImageObject).with_outputs(LEFT_OUT, main=LISTED)
        )
        left_out = (split[LEFT_OUT], listed[LEFT_OUT]) | "AllLeftOut" >> beam.Flatten()
        return {LISTED: listed[LISTED], LEFT_OUT: left_out}


class _ListingDoFn(beam.DoFn):
    """Counts what it leaves out, and tells it at the end of a bundle: a bundle that fails has counted nothing."""

    def __init__(self, options: ListImages):
        self._options = options

    def setup(self) -> None:
        filesystems.configure(self._options.storage_options)

    def start_bundle(self) -> None:
        self._left_out: Counter[str] = Counter()

    def finish_bundle(self) -> Iterator[Any]:
        if self._left_out:
            yield from at_the_end([TaggedOutput(LEFT_OUT, dict(self._left_out))])

    def _skipped(self, _: str, kind: str) -> None:
        tally.count("files_skipped")
        kinds.count(self._left_out, kind)


class _Split(_ListingDoFn):
    def process(self, element: str) -> Iterator[tuple[Part, bytes]]:
        """(part, block of images that lie beside the parts: when it is not empty, they alone are meant)."""
        beside: list[Sighting] = []
        for found in split_input(element, self._options.rules, self._skipped):
            if not isinstance(found, ImageObject):
                yield found, b""
                continue
            beside.append(Sighting.listed(found))
            if len(beside) >= BESIDE:
                yield Part(element), pack(beside)
                beside.clear()
        if beside:
            yield Part(element), pack(beside)


class _List(_ListingDoFn):
    def process(self, element: tuple[Part, bytes]) -> Iterator[ImageObject]:
        """Leaves out what runs of the output have written, and counts the rest."""
        for image in self._listed(*element):
            if not layout.is_own(self._options.output, image.uri):
                tally.count("objects_listed")
                yield image

    def _listed(self, part: Part, beside: bytes) -> Iterator[ImageObject]:
        if beside:
            return (sighting.image() for sighting in unpack(beside))
        return list_part(part, self._options.rules, self._skipped)
