"""SelectImages: each image once, spread evenly over the workers, and only what is to be embedded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList, DoOutputsTuple, PCollection, TaggedOutput
from apache_beam.transforms.combiners import Count, Top

from transforms import tally
from transforms.elements import Copy, ImageObject, PlacedRecord, Refusal
from transforms.history import (
    COLUMNS_CHANGED,
    DELETED,
    DISTINCT,
    EMBED,
    OUTSIDE,
    SELECTED,
    STAGED,
    decide,
    newest_outcome,
)
from transforms.inputs import inputs
from transforms.inputs.carrying import carried
from transforms.inputs.rules import DEFAULT_RULES, Rules
from transforms.packing import PackByUnit
from transforms.records.blocks import LISTED, Sighting, unpack
from transforms.records.uris import uri_hash
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions

DECISIONS = "decisions"
REJECTED = "rejected"
RECORDS = "records"
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
    `OUTSIDE`, `SELECTED`, and with `dedup` `DISTINCT`; with "adopted", "rejected": numbers of ledgers that are not
    taken over}.

    An adopted shard is taken over when each of its images is listed by this run, and in no adopted shard before it: a
    runner that tried a bundle again may have left shards of both tries. It is one of them or none, and what none holds
    is embedded again.

    Attributes:
        input, rules: of the run; only what they cover can be found missing.
        since, until: seconds since the epoch; images updated before, or not before, are left alone (`OUTSIDE`).
        limit: of the images to embed, that many are taken; 0: all.
        retry_dead_letters: see `history.decide`.
        units: into how many parts the uris are cut, by their hash; more than there are threads in the cluster, and so
            many that the rows of one fit into memory.
        dedup: of objects that are listed with the same MD5 and size, one is selected and has the others as `copies`.
        storage_options: of the stores, see `filesystems.configure`.
    """

    input: Sequence[str] = ()
    rules: Rules = DEFAULT_RULES
    since: float | None = None
    until: float | None = None
    limit: int = 0
    retry_dead_letters: bool = False
    dedup: bool = False
    units: int = 1024
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, rows: Mapping[str, PCollection[Any]]) -> dict[str, PCollection[Any]]:
        # One type for all sides, where a CoGroupByKey would pickle them; and in blocks before they meet, since the
        # local runner writes out what a Flatten joins.
        blocks = []
        for name, side in rows.items():
            sighting = partial(_listed, dedup=self.dedup) if name == "listed" else Sighting.past
            sightings = side | f"See{name.capitalize()}" >> beam.Map(sighting).with_output_types(Sighting)
            blocks.append(sightings | f"Pack{name.capitalize()}" >> PackByUnit(self.units))
        units = blocks | "AllBlocks" >> beam.Flatten() | "GroupByUnit" >> beam.GroupByKey()
        results: dict[str, PCollection[Any]] = {}
        rejected: list[Any] = []
        if "adopted" in rows:
            results[REJECTED] = (
                units
                | "FindRejected" >> beam.FlatMapTuple(_rejected).with_output_types(int)
                | "Once" >> beam.Distinct()
            )
            rejected = [AsList(results[REJECTED])]
        decided: DoOutputsTuple = units | "Decide" >> beam.ParDo(_Decide(self), *rejected).with_outputs(
            DELETED, DECISIONS, RECORDS, main=SELECTED
        )
        selected = decided[SELECTED]
        if self.limit:
            selected = (
                selected
                | "Smallest" >> Top.Of(self.limit, key=_order, reverse=True)
                | "Limited" >> beam.FlatMap(lambda images: images).with_output_types(ImageObject)
                | "SpreadLimited" >> beam.Reshuffle()
            )
        counts = [
            decided[DECISIONS] | "CountDecisions" >> Count.PerElement(),
            selected | "CountSelected" >> Count.Globally() | "Selected" >> beam.Map(lambda count: (SELECTED, count)),
        ]
        if self.dedup:
            selected = (
                selected
                | "KeyByContent"
                >> beam.Map(lambda image: (_content(image), image)).with_output_types(tuple[str, ImageObject])
                | "GroupByContent" >> beam.GroupByKey()
                | "TakeOne" >> beam.FlatMapTuple(_with_copies).with_output_types(ImageObject)
            )
            distinct = selected | "CountDistinct" >> Count.Globally()
            counts.append(distinct | "Distinct" >> beam.Map(lambda count: (DISTINCT, count)))
        decisions = counts | "AllCounts" >> beam.Flatten()
        return {
            **results,
            SELECTED: selected,
            DELETED: decided[DELETED],
            RECORDS: decided[RECORDS],
            DECISIONS: decisions,
        }


class _Decide(beam.DoFn):
    def __init__(self, options: SelectImages):
        self._options = options
        self._covered: list[Callable[[str], bool]] | None = None

    def setup(self) -> None:
        filesystems.configure(self._options.storage_options)

    def process(self, element: tuple[int, Iterable[bytes]], rejected: Sequence[int] = ()) -> Iterator[Any]:
        for sightings in _by_uri(element[1]).values():
            yield from self._decide(sightings, rejected)

    def _decide(self, sightings: Sequence[Sighting], rejected: Sequence[int]) -> Iterator[Any]:
        options = self._options
        image = listed_image([sighting.image() for sighting in sightings if sighting.run == LISTED], options.rules)
        past = [
            sighting.outcome_then()
            for sighting in sightings
            if sighting.run != LISTED and not (sighting.outcome == STAGED and sighting.run in rejected)
        ]
        if image is None and not past:
            return  # it was in a shard that is not taken over
        compare = bool(options.rules.columns)
        decision = decide(image, past, retry_dead_letters=options.retry_dead_letters, compare_columns=compare)
        if decision == DELETED and not self._covers(past[0].uri):
            return
        if decision == EMBED and image is not None and not self._is_inside(image.updated):
            decision = OUTSIDE
        yield TaggedOutput(DECISIONS, decision)
        if decision == EMBED:
            tally.count("images_selected")
            yield image
        elif decision == DELETED:
            yield TaggedOutput(DELETED, ImageObject(past[0].uri, 0))
        elif decision == COLUMNS_CHANGED and image is not None and (last := newest_outcome(past)):
            yield TaggedOutput(RECORDS, (last.shard, PlacedRecord(image, last.run, last.shard, last.row)))

    def _is_inside(self, updated: float | None) -> bool:
        since, until = self._options.since, self._options.until
        return updated is None or ((since is None or since <= updated) and (until is None or updated < until))

    def _covers(self, uri: str) -> bool:
        """Whether an object of that uri would have been listed."""
        if self._covered is None:
            options = self._options
            self._covered = [inputs.coverage(text, options.rules) for text in options.input]
        return any(covers(uri) for covers in self._covered)


def _by_uri(blocks: Iterable[bytes]) -> Mapping[str, list[Sighting]]:
    by_uri: dict[str, list[Sighting]] = defaultdict(list)
    for block in blocks:
        for sighting in unpack(block):
            by_uri[sighting.uri].append(sighting)
    return by_uri


def _rejected(_: int, blocks: Iterable[bytes]) -> Iterator[int]:
    """Numbers of the adopted ledgers that hold an image which is not listed, or which one before it holds."""
    for sightings in _by_uri(blocks).values():
        holders = sorted({sighting.run for sighting in sightings if sighting.outcome == STAGED})
        listed = any(sighting.run == LISTED for sighting in sightings)
        yield from holders[1:] if listed else holders


def newest(images: Iterable[ImageObject]) -> ImageObject | None:
    """The row that tells most: a listing's before a manifest's, then the newest; None of none."""
    return max(images, key=lambda image: (image.size >= 0, image.updated or 0.0, image.version), default=None)


def listed_image(images: Sequence[ImageObject], rules: Rules) -> ImageObject | None:
    """One row of all those of one uri: the newest, with the columns of the one that has any; None of none.

    Of rows that say different things of it none is believed: it gets a dead letter.
    """
    image = newest(images)
    if image is None or not rules.columns:
        return image
    said = {each.columns for each in images} - {carried(image.uri, {}, rules)}
    if len(said) > 1:
        first, second = sorted(said)[:2]
        message = f"{len(said)} rows name it with different columns, such as {first[:200]} and {second[:200]}"
        return image._replace(columns="", content=Refusal("list", "ConflictingColumns", message))
    return image._replace(columns=said.pop()) if said else image


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
