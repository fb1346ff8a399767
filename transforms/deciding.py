"""Decide: of a unit of uris, what is to be done with each image, by its listing rows and by what earlier runs did."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput

from transforms import tally
from transforms.bundles import at_the_end
from transforms.elements import ImageObject, PastOutcome, PlacedRecord, ReadContainer, Refusal
from transforms.history import DELETED, EMBED, OUTSIDE, STAGED, decide, newest_outcome, reason_of
from transforms.inputs import kinds
from transforms.inputs.carrying import carried
from transforms.inputs.containers.naming import container_of, kind_of
from transforms.inputs.coverage import coverage
from transforms.inputs.rules import DEFAULT_RULES, Rules
from transforms.listing import LEFT_OUT
from transforms.records.blocks import LISTED, Sighting, unpack
from transforms.records.ledger import COLUMNS_CHANGED
from transforms.stores import filesystems
from transforms.stores.fetching import Policy
from transforms.stores.filesystems import StorageOptions
from transforms.unpacking import Unpacking, is_of

DECISIONS = "decisions"
RECORDS = "records"
CONTAINERS = "containers"


@dataclass(frozen=True)
class Selection:
    """What a run chooses of what is listed.

    Attributes:
        input, rules: of the run; only what they cover can be found missing.
        since, until: seconds since the epoch; images updated before, or not before, are left alone (`OUTSIDE`).
        limit: of the images to embed, that many are taken; 0: all.
        retry_dead_letters: see `history.decide`.
        dedup: of objects that are listed with the same MD5 and size, one is selected and has the others as `copies`.
        policy: how often and how long a container is tried, and how large its images may be.
        incremental: whether earlier runs are asked, and so can tell why an image is embedded.
    """

    input: Sequence[str] = ()
    rules: Rules = DEFAULT_RULES
    since: float | None = None
    until: float | None = None
    limit: int = 0
    retry_dead_letters: bool = False
    dedup: bool = False
    policy: Policy = field(default_factory=Policy)
    incremental: bool = False

    @property
    def reads_again(self) -> bool:
        """Whether members of containers cross further shuffles, without their bytes."""
        return self.dedup or self.limit > 0


class Decide(beam.DoFn):
    """See `SelectImages`."""

    def __init__(self, options: Selection, storage_options: StorageOptions):
        self._options = options
        self._storage_options = storage_options
        self._covered: list[Callable[[str], bool]] | None = None

    def setup(self) -> None:
        filesystems.configure(self._storage_options)
        self._unpacking = Unpacking(self._options.rules, self._options.policy, self._skipped)

    def start_bundle(self) -> None:
        self._left_out: Counter[str] = Counter()
        self._decisions: Counter[str] = Counter()

    def finish_bundle(self) -> Iterator[Any]:
        yield from at_the_end(TaggedOutput(DECISIONS, decision) for decision in self._decisions.items())
        if self._left_out:
            yield from at_the_end([TaggedOutput(LEFT_OUT, dict(self._left_out))])

    def _skipped(self, _: str, kind: str) -> None:
        tally.count("files_skipped")
        kinds.count(self._left_out, kind)

    def process(self, element: tuple[int, Iterable[bytes]], rejected: Sequence[int] = ()) -> Iterator[Any]:
        found = by_uri(element[1])
        members: dict[str, dict[str, list[PastOutcome]]] = defaultdict(dict)  # of containers, what earlier runs did
        for uri in [uri for uri in found if container_of(uri)]:
            members[container_of(uri)][uri] = _past(found.pop(uri), rejected)
        for uri, sightings in found.items():
            rows = [each.image() for each in sightings if each.run == LISTED]
            if len(rows) > 1:
                tally.count("objects_settled", len(rows) - 1)
            image = listed_image(rows, self._options.rules)
            past = _past(sightings, rejected)
            if image is not None and kind_of(uri):
                yield from self._decide_members(image, past, members.pop(uri, {}))
            else:
                yield from self._decide(image, past)
        for of_container in members.values():  # which are not listed
            for past in of_container.values():
                yield from self._decide(None, past)

    def _decide(self, image: ImageObject | None, past: Sequence[PastOutcome]) -> Iterator[Any]:
        if image is None and not past:
            return  # it was in a shard that is not taken over
        if image is None and decide(None, past) == DELETED and not self._covers(past[0].uri):
            return
        yield from self._settle(image, past)

    def _settle(self, image: ImageObject | None, past: Sequence[PastOutcome]) -> Iterator[Any]:
        """The decision on an image, or on one that is there no more; and what follows from it."""
        options = self._options
        compare = bool(options.rules.columns)
        decision = decide(image, past, retry_dead_letters=options.retry_dead_letters, compare_columns=compare)
        if decision == EMBED and image is not None and not self._is_inside(image.updated):
            decision = OUTSIDE
        self._decisions[decision] += 1
        if decision == EMBED and image is not None:
            tally.count("images_selected")
            yield image._replace(reason=reason_of(image, past)) if options.incremental else image
            return
        if image is not None:
            tally.count("images_rewritten" if decision == COLUMNS_CHANGED else "objects_settled")
        if decision == DELETED:
            yield TaggedOutput(DELETED, ImageObject(past[0].uri, 0))
        elif decision == COLUMNS_CHANGED and image is not None and (last := newest_outcome(past)):
            row = image._replace(content=None)
            yield TaggedOutput(RECORDS, (last.shard, PlacedRecord(row, last.run, last.shard, last.row)))

    def _decide_members(
        self, listed: ImageObject, past: Sequence[PastOutcome], of_members: dict[str, list[PastOutcome]]
    ) -> Iterator[Any]:
        """Reads a container, unless it is known what is in it."""
        options = self._options
        container = self._unpacking.described(listed)
        known = self._unpacking.known(container, past, of_members, options.retry_dead_letters)
        if known is not None or not container.content:
            tally.count("objects_settled")  # the container: its members are listed as they are met
        if known is not None:
            self._decisions.update(known)
            return
        number, chosen, whole = 0, 0, not container.content
        if container.content:
            yield from self._settle(container, past)
        for image in () if container.content else self._unpacking.images(container):
            if image.uri == container.uri:  # it breaks there
                whole = False
                yield from self._settle(image, past)
                break
            number += 1
            tally.count("objects_listed")
            for result in self._settle(image, of_members.pop(image.uri, [])):
                chosen += isinstance(result, ImageObject)
                # No bytes cross the shuffles that these need: such members are read again behind them.
                strip = isinstance(result, ImageObject) and options.reads_again and isinstance(result.content, bytes)
                yield result._replace(content=None) if strip else result
            if options.limit and chosen >= options.limit:
                whole = False
                break
        for outcomes in of_members.values():  # of members that were not met
            if whole or _is_staged(outcomes):
                yield from self._settle(None, outcomes)
        if whole and not (options.limit or options.since or options.until):
            row = container._replace(columns=self._unpacking.reading())
            yield TaggedOutput(CONTAINERS, ReadContainer(row, number))

    def _is_inside(self, updated: float | None) -> bool:
        since, until = self._options.since, self._options.until
        return updated is None or ((since is None or since <= updated) and (until is None or updated < until))

    def _covers(self, uri: str) -> bool:
        """Whether an object of that uri would have been listed."""
        if self._covered is None:
            options = self._options
            self._covered = [coverage(text, options.rules) for text in options.input]
        return any(covers(uri) for covers in self._covered)


def by_uri(blocks: Iterable[bytes]) -> dict[str, list[Sighting]]:
    """The sightings of a unit."""
    found: dict[str, list[Sighting]] = defaultdict(list)
    for block in blocks:
        for sighting in unpack(block):
            found[sighting.uri].append(sighting)
    return found


def rejected_ledgers(_: int, blocks: Iterable[bytes]) -> Iterator[int]:
    """Numbers of the adopted ledgers that hold an image which is not listed, or which one before it holds.

    A member is listed when its container is, in the version that the member was of.
    """
    found = by_uri(blocks)
    for uri, sightings in found.items():
        holders = sorted({sighting.run for sighting in sightings if sighting.outcome == STAGED})
        listed = any(sighting.run == LISTED for sighting in sightings)
        if holders and (container := container_of(uri)):
            version = next(sighting.version for sighting in sightings if sighting.outcome == STAGED)
            rows = (sighting for sighting in found.get(container, ()) if sighting.run == LISTED)
            listed = any(is_of(version, row.version) for row in rows)
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


def _past(sightings: Iterable[Sighting], rejected: Sequence[int]) -> list[PastOutcome]:
    """What earlier runs did, and attempts whose shards are taken over."""
    return [
        sighting.outcome_then()
        for sighting in sightings
        if sighting.run != LISTED and not (sighting.outcome == STAGED and sighting.run in rejected)
    ]


def _is_staged(past: Iterable[PastOutcome]) -> bool:
    return any(outcome.outcome == STAGED for outcome in past)
