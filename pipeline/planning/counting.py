"""What a run would find and choose: its own stages of listing and selecting, at work here and counted."""

from __future__ import annotations

import json
import posixpath
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import AsDict, PCollection
from apache_beam.transforms.combiners import Count, ToList, Top

from pipeline.graph import UNITS_HERE, listing_of, selection_of
from pipeline.options.beam import LOCAL_RUNNER
from pipeline.options.config import RunConfig
from transforms.deciding import DECISIONS, newest
from transforms.elements import ImageObject, PastOutcome
from transforms.history import SELECTED, LedgerFile, ReadHistory, newest_outcome
from transforms.inputs.containers.naming import container_of, kind_of
from transforms.inputs.globs import before_magic
from transforms.inputs.kinds import sum_kinds
from transforms.listing import LEFT_OUT, LISTED
from transforms.records.columns import Column
from transforms.records.ledger import READ
from transforms.records.uris import uri_hash
from transforms.selecting import SelectImages
from transforms.stores import storage

PREFIXES = 10  # that are shown, the ones with most bytes
NO_EXTENSION = "none"
FORMAT, PREFIX, PACKED, CHANGED = "format", "prefix", "packed", "changed"


class Amount(NamedTuple):
    """Attributes:
    number: of images, or containers.
    bytes: of those whose listing tells.
    of_unknown_size: those whose listing does not.
    """

    number: int = 0
    bytes: int = 0
    of_unknown_size: int = 0


class Found(NamedTuple):
    """Attributes:
    rows: of the listing; an image that is named twice has two.
    by_format: by extension, most images first.
    by_prefix: by folder, most bytes first, at most `PREFIXES`.
    prefixes: how many folders there are.
    containers: that would be opened.
    unchanged_containers: that would not, since an earlier run has read them to their end.
    decisions: see `SelectImages`; images of containers are not among them.
    selected: that would be embedded.
    left_out: files of other kinds, by kind.
    some: uris of selected images, by a hash: the same for the same listing.
    of_containers: sizes of containers, by their uris, chosen likewise; -1 where the listing does not tell.
    """

    rows: int
    by_format: dict[str, Amount]
    by_prefix: dict[str, Amount]
    prefixes: int
    containers: Amount
    unchanged_containers: int
    decisions: dict[str, int]
    selected: Amount
    left_out: dict[str, int]
    some: list[str]
    of_containers: dict[str, int]


def count(
    config: RunConfig, columns: Sequence[Column], history: Sequence[LedgerFile], images: int, containers: int
) -> Found:
    """Lists the inputs and decides on each image, as the run would; nothing is read but listings and ledgers.

    Containers are not opened: they are counted, and what earlier runs did with their images is left out.

    Args:
        images, containers: how many are given of each.
    """
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
            _build(pipeline, config, columns, history, images, containers, Path(folder))
        found = {path.name: json.loads(path.read_text()) for path in Path(folder).iterdir()}
    amounts: dict[str, dict[str, Amount]] = defaultdict(dict)
    for (kind, name), amount in found["amounts"]:
        amounts[kind][name] = Amount(*amount)
    nothing = {"": Amount()}
    return Found(
        rows=added(amounts[FORMAT].values()).number,
        by_format=dict(sorted(amounts[FORMAT].items(), key=lambda item: (-item[1].number, item[0]))),
        by_prefix={name: Amount(*amount) for (_, name), amount in found["prefixes"]},
        prefixes=found["prefix_count"],
        containers=amounts.get(CHANGED, nothing)[""],
        unchanged_containers=amounts.get(PACKED, nothing)[""].number - amounts.get(CHANGED, nothing)[""].number,
        decisions=dict(found["decisions"]),
        selected=amounts.get(SELECTED, nothing)[""],
        left_out=found["left_out"],
        some=list(found["some"]),
        of_containers=found["of_containers"],
    )


def _build(
    pipeline: beam.Pipeline,
    config: RunConfig,
    columns: Sequence[Column],
    history: Sequence[LedgerFile],
    images: int,
    containers: int,
    results: Path,
) -> None:
    """Counts by (what is counted, name); each result goes to a file of its name, as JSON."""
    stores, listing = config.storage_options, listing_of(config, columns)
    roots = [root_of(text) for text in config.input]
    listed = pipeline | "Inputs" >> beam.Create(list(config.input)) | "ListImages" >> listing
    loose = listed[LISTED] | "Loose" >> beam.Filter(lambda image: not kind_of(image.uri))
    packed = (
        listed[LISTED]
        | "Packed" >> beam.Filter(lambda image: bool(kind_of(image.uri)))
        | "ByUri" >> beam.Map(lambda image: (image.uri, image)).with_output_types(tuple[str, ImageObject])
        | "EachContainer" >> beam.GroupByKey()
        | "Once" >> beam.MapTuple(lambda _, rows: newest(rows)).with_output_types(ImageObject)
    )
    rows: dict[str, Any] = {"listed": loose}
    changed = packed
    if history:
        past = pipeline | "ReadHistory" >> ReadHistory(history, stores, None, bool(listing.rules.columns))
        rows["history"] = past | "OfLoose" >> beam.Filter(_is_loose)
        whole = (
            past
            | "OfContainers" >> beam.Filter(lambda outcome: bool(kind_of(outcome.uri)))
            | "Name" >> beam.Map(lambda outcome: (outcome.uri, outcome)).with_output_types(tuple[str, PastOutcome])
            | "EachPast" >> beam.GroupByKey()
            | "Newest" >> beam.MapTuple(lambda uri, outcomes: (uri, newest_outcome(outcomes)))
        )
        changed = packed | "Changed" >> beam.Filter(_is_changed, AsDict(whole))
    decided = rows | "SelectImages" >> SelectImages(selection_of(config, listing.rules), UNITS_HERE, stores)
    counted = [
        loose | "Formats" >> beam.Map(lambda image: ((FORMAT, extension_of(image.uri)), amount_of(image))),
        loose | "Prefixes" >> beam.Map(lambda image: ((PREFIX, prefix_of(image.uri, roots)), amount_of(image))),
        packed | "Containers" >> beam.Map(lambda image: ((PACKED, ""), amount_of(image))),
        changed | "Opened" >> beam.Map(lambda image: ((CHANGED, ""), amount_of(image))),
        decided[SELECTED] | "Selected" >> beam.Map(lambda image: ((SELECTED, ""), amount_of(image))),
    ]
    amounts = counted | "All" >> beam.Flatten() | "Add" >> beam.CombinePerKey(added)
    prefixes = amounts | "OfPrefixes" >> beam.Filter(lambda item: item[0][0] == PREFIX)
    left_out = (listed[LEFT_OUT], decided[LEFT_OUT]) | "AllLeftOut" >> beam.Flatten()
    told = {
        "amounts": amounts | "Others" >> beam.Filter(lambda item: item[0][0] != PREFIX) | "Amounts" >> ToList(),
        "prefixes": prefixes | "Largest" >> Top.Of(PREFIXES, key=lambda item: (item[1][1], item[1][0], item[0])),
        "prefix_count": prefixes | "CountPrefixes" >> Count.Globally(),
        "decisions": decided[DECISIONS] | "Decisions" >> ToList(),
        "some": _some(decided[SELECTED], images, "Some"),
        "of_containers": _some(changed, containers, "SomeContainers"),
        "left_out": left_out | "SumKinds" >> beam.CombineGlobally(sum_kinds),
    }
    for name, result in told.items():
        _ = result | f"Tell_{name}" >> beam.Map(_write, results / name)


def _write(value: Any, path: Path) -> None:
    path.write_text(json.dumps(value))


def _some(images: PCollection[ImageObject], most: int, label: str) -> Any:
    """Sizes by uri."""
    chosen = images | label >> Top.Of(most, key=lambda image: uri_hash(image.uri))
    return chosen | f"{label}Uris" >> beam.Map(lambda images: {image.uri: image.size for image in images})


def _is_loose(outcome: PastOutcome) -> bool:
    return not container_of(outcome.uri) and not kind_of(outcome.uri)


def _is_changed(container: ImageObject, past: Mapping[str, PastOutcome]) -> bool:
    """Whether a container would be opened: unless a run has read that version to its end."""
    last = past.get(container.uri)
    return last is None or last.outcome != READ or not container.version or last.version != container.version


def amount_of(image: ImageObject) -> Amount:
    return Amount(1, max(image.size, 0), int(image.size < 0))


def added(amounts: Iterable[Amount]) -> Amount:
    return Amount(*(sum(parts) for parts in zip(Amount(), *amounts, strict=True)))


def extension_of(uri: str) -> str:
    """Such as ".jpg", in small letters."""
    return posixpath.splitext(uri.partition("?")[0] if "://" in uri else uri)[1].lower() or NO_EXTENSION


def prefix_of(uri: str, roots: Sequence[str]) -> str:
    """The folder that an image is counted under: the first one beneath its input; of a manifest's images, their own.

    Args:
        roots: of the inputs, see `root_of`.
    """
    folder = posixpath.dirname(uri)
    for root in roots:
        if root and (folder == root or folder.startswith(f"{root}/")):
            first = folder[len(root) + 1 :].partition("/")[0]
            return f"{root}/{first}" if first else root
    return folder


def root_of(text: str) -> str:
    """The folder of an input; of a file its own name, beneath which nothing is."""
    place = storage.normalize(text)
    before = before_magic(place)
    return place if before == place else before.rpartition("/")[0]
