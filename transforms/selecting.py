"""SelectImages: each image once, spread evenly over the workers, and only what is to be embedded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, DoOutputsTuple, PCollection
from apache_beam.transforms.combiners import Top
from apache_beam.utils.windowed_value import WindowedValue

from transforms.bundles import at_the_end
from transforms.deciding import CONTAINERS, DECISIONS, RECORDS, Decide, Selection, rejected_ledgers
from transforms.elements import Copy, ImageObject
from transforms.history import DELETED, DISTINCT, SELECTED
from transforms.inputs.containers.naming import container_of
from transforms.inputs.rules import ignore
from transforms.listing import LEFT_OUT
from transforms.packing import PackByUnit
from transforms.records.blocks import Sighting
from transforms.records.uris import uri_hash
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions
from transforms.unpacking import Unpacking, read_again

REJECTED = "rejected"
COPIES = 1000  # of one content, so that no element grows without bounds


@dataclass
class SelectImages(beam.PTransform[Mapping[str, PCollection[Any]], Mapping[str, PCollection[Any]]]):
    """Groups the listing into units of uris: the one shuffle on the way of an image, and it carries no pixels.

    It takes out uris that were listed several times, leaves out what earlier runs have done and, as a Reshuffle
    would, cuts the listing from the work, so that a long listing of few inputs is worked on by all workers. A unit,
    some thousand uris of a large run, is what a runner hands to a worker at once.

    In: {"listed": `ImageObject`, a uri any number of times; "history", "adopted": `PastOutcome`}.
    Out: {"selected": `ImageObject`, each uri once, "deleted": `ImageObject`, of uris that were embedded and are listed
    no more, "records": (shard, `PlacedRecord`), where the record is of an image whose columns alone have changed, which
    are those of its image; "decisions": one (decision, number of images) for each decision, those of `history.decide`,
    `OUTSIDE`, `SELECTED`, with `dedup` `DISTINCT`, and for each reason of selected ones, where these are given;
    "containers": `ReadContainer`, those that were read to their end; "left_out": as of `ListImages`, of members of
    containers; with "adopted", "rejected": numbers of ledgers that are not taken over}.

    Containers are opened here, behind the shuffle, each by one worker, and their members are selected as if they had
    been listed, with their bytes as `content` (see `unpacking`).

    An adopted shard is taken over when each of its images is listed by this run, and in no adopted shard before it: a
    runner that tried a bundle again may have left shards of both tries. It is one of them or none, and what none holds
    is embedded again.

    Attributes:
        selection: what is chosen, and how containers are read.
        units: into how many parts the uris are cut, by their hash; more than there are threads in the cluster, and so
            many that the rows of one fit into memory.
        storage_options: of the stores, see `filesystems.configure`.
        hints: Beam's resource hints of all behind the shuffle, which is one stage with the work that follows.
    """

    selection: Selection = field(default_factory=Selection)
    units: int = 1024
    storage_options: StorageOptions = field(default_factory=dict)
    hints: Mapping[str, str] = field(default_factory=dict)

    def expand(self, rows: Mapping[str, PCollection[Any]]) -> dict[str, PCollection[Any]]:
        # One type for all sides, where a CoGroupByKey would pickle them; and in blocks before they meet, since the
        # local runner writes out what a Flatten joins.
        blocks = []
        for name, side in rows.items():
            sighting = partial(_listed, dedup=self.selection.dedup) if name == "listed" else Sighting.past
            sightings = side | f"See{name.capitalize()}" >> beam.Map(sighting).with_output_types(Sighting)
            blocks.append(sightings | f"Pack{name.capitalize()}" >> PackByUnit(self.units))
        units = blocks | "AllBlocks" >> beam.Flatten() | "GroupByUnit" >> beam.GroupByKey()
        choose = _Choose(self.selection, "adopted" in rows, self.storage_options)
        results: dict[str, PCollection[Any]] = units | "Choose" >> choose.with_resource_hints(**self.hints)
        return results


@dataclass
class _Choose(beam.PTransform[PCollection[Any], Mapping[str, PCollection[Any]]]):
    """What `SelectImages` gives, of its units."""

    selection: Selection
    adopted: bool
    storage_options: StorageOptions

    def expand(self, units: PCollection[Any]) -> dict[str, PCollection[Any]]:
        chosen = self.selection
        results: dict[str, PCollection[Any]] = {}
        rejected: list[Any] = []
        if self.adopted:
            results[REJECTED] = (
                units
                | "FindRejected" >> beam.FlatMapTuple(rejected_ledgers).with_output_types(int)
                | "Once" >> beam.Distinct()
            )
            rejected = [AsList(results[REJECTED])]
        decided: DoOutputsTuple = units | "Decide" >> beam.ParDo(
            Decide(chosen, self.storage_options), *rejected
        ).with_outputs(DELETED, DECISIONS, RECORDS, CONTAINERS, LEFT_OUT, main=SELECTED)
        selected = decided[SELECTED]
        if chosen.limit:
            selected = (
                selected
                | "Smallest" >> Top.Of(chosen.limit, key=_order, reverse=True)
                | "Limited" >> beam.FlatMap(lambda images: images).with_output_types(ImageObject)
                | "SpreadLimited" >> beam.Reshuffle()
            )
        counts = [
            decided[DECISIONS] | "CountDecisions" >> beam.CombinePerKey(sum).with_output_types(tuple[str, int]),
            selected | "CountSelected" >> _CountEach(lambda _: SELECTED),
        ]
        if chosen.incremental:
            counts.append(selected | "CountReasons" >> _CountEach(attrgetter("reason")))
        if chosen.dedup:
            selected = (
                selected
                | "KeyByContent"
                >> beam.Map(lambda image: (_content(image), image)).with_output_types(tuple[str, ImageObject])
                | "GroupByContent" >> beam.GroupByKey()
                | "TakeOne" >> beam.FlatMapTuple(_with_copies).with_output_types(ImageObject)
            )
            counts.append(selected | "CountDistinct" >> _CountEach(lambda _: DISTINCT))
        decisions = counts | "AllCounts" >> beam.Flatten()
        if chosen.reads_again:
            selected = (
                selected
                | "KeyByContainer" >> beam.Map(_by_container).with_output_types(tuple[str, ImageObject])
                | "GroupByContainer" >> beam.GroupByKey()
                | "ReadAgain" >> beam.ParDo(_ReadAgain(chosen, self.storage_options)).with_output_types(ImageObject)
            )
        others = (DELETED, RECORDS, CONTAINERS, LEFT_OUT)
        return {**results, SELECTED: selected, DECISIONS: decisions, **{name: decided[name] for name in others}}


@dataclass
class _CountEach(beam.PTransform[PCollection[Any], PCollection[tuple[str, int]]]):
    """Out: (name, elements of it), once for each name that one has; "" is none.

    Attributes:
        name: of an element.
    """

    name: Callable[[Any], str]

    def expand(self, elements: PCollection[Any]) -> PCollection[tuple[str, int]]:
        within = beam.ParDo(_CountWithin(self.name)).with_output_types(tuple[str, int])
        counts: PCollection[tuple[str, int]] = elements | "Within" >> within | "Sum" >> beam.CombinePerKey(sum)
        return counts


class _CountWithin(beam.DoFn):
    """Counts by bundles: for each image there is an addition, and no element."""

    def __init__(self, name: Callable[[Any], str]):
        self._name = name

    def start_bundle(self) -> None:
        self._counts: Counter[str] = Counter()

    def process(self, element: Any) -> None:
        self._counts[self._name(element)] += 1

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from at_the_end((name, count) for name, count in self._counts.items() if name)


class _ReadAgain(beam.DoFn):
    def __init__(self, selection: Selection, storage_options: StorageOptions):
        self._unpacking = Unpacking(selection.rules, selection.policy, ignore)
        self._storage_options = storage_options

    def setup(self) -> None:
        filesystems.configure(self._storage_options)

    def process(self, element: tuple[str, Iterable[ImageObject]]) -> Iterator[ImageObject]:
        """Loose images, and what is refused, as they are."""
        key, images = element
        wanted: list[ImageObject] = []
        for image in images:
            if container_of(image.uri) and image.content is None:
                wanted.append(image)
            else:
                yield image
        if wanted:
            yield from read_again(self._unpacking, key, wanted)


def _by_container(image: ImageObject) -> tuple[str, ImageObject]:
    return container_of(image.uri) or image.uri, image


def _listed(image: ImageObject, dedup: bool) -> Sighting:
    """What only `dedup` needs is not shuffled without it."""
    return Sighting.listed(image if dedup else image._replace(md5=""))


def _content(image: ImageObject) -> str:
    return f"{image.md5} {image.size}" if image.md5 and image.content is None else image.uri


def _with_copies(_: str, images: Iterable[ImageObject]) -> Iterator[ImageObject]:
    """One of each `COPIES` images of the same content, with the rest as its copies."""
    ordered = iter(sorted(images, key=lambda image: image.uri))
    while batch := list(islice(ordered, COPIES)):
        first, *others = batch
        yield first._replace(copies=tuple(Copy(*(getattr(image, name) for name in Copy._fields)) for image in others))


def _order(image: ImageObject) -> bytes:
    """The same for the same images, whatever order they come in."""
    return uri_hash(image.uri)
