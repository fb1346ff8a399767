"""What went into a run and what came out of it, as its manifest, its ledgers and its dead letters tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.console.printable import shortened
from pipeline.errors import OutputError
from pipeline.outputs.history import PublishedRun
from pipeline.report.bands import BYTES, BYTES_LABELS, Bands, count_between
from transforms.records.ledger import read_columns
from transforms.stores import storage
from transforms.stores.streaming import open_current

EXAMPLES = 3  # of a class of failures
LONGEST_MESSAGE = 300
# Of dead letters that are read for examples: some 300,000 of them. Counts are the manifest's, and need none.
EXAMPLE_BYTES = 64 << 20
LEFT_OUT_KINDS = 12
# Of the counts of a manifest, those that add up to `listed`, in the order in which they are told; then the others.
SUMMANDS = ("embedded", "failed", "unchanged", "failed_before", "outside", "over_limit")
BESIDES = ("columns_changed", "duplicates", "deleted", "containers")


@dataclass(frozen=True)
class Example:
    """A dead letter: of which image, at which stage, why."""

    uri: str
    stage: str
    message: str


@dataclass(frozen=True)
class Failure:
    """Attributes:
    error: the class.
    images: that failed with it.
    examples: some of them, `EXAMPLES` at most.
    """

    error: str
    images: int
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Outcomes:
    """What became of the images of a run.

    Attributes:
        listed: images; the sum of `parts`.
        parts: how many of them were embedded, failed, or left alone, and why; those of 0 but the first two left out.
        besides: what is counted apart from that sum, where it is not 0.
        failures: by class, the commonest first.
        left_out: files that were not taken for images, by kind, the commonest first.
        bytes: of the encoded images that have rows in the run's ledgers, by bands.
        without_size: how many rows tell no size.
        untold: what the run's files do not tell, in sentences.
    """

    listed: int
    parts: dict[str, int]
    besides: dict[str, int]
    failures: tuple[Failure, ...]
    left_out: dict[str, int]
    bytes: Bands
    without_size: int
    untold: tuple[str, ...]


def read_outcomes(run: PublishedRun) -> Outcomes:
    """Reads them, some rows at a time.

    Raises:
        OutputError: a file of the run is not what runs write.
    """
    counts, untold = run.manifest["counts"], []
    left_out = counts.get("left_out")
    if not isinstance(left_out, dict) or not all(type(times) is int for times in left_out.values()):
        left_out = {}
        untold.append("Files that were left out were not counted by the version that made this run.")
    failures, all_read = _failures(run, counts["failed_by_error"])
    if not all_read:
        untold.append(
            f"Examples of failures are from the first {EXAMPLE_BYTES >> 20} MiB of each file of dead letters; "
            "the counts are of all."
        )
    sizes, without_size = _sizes(run)
    return Outcomes(
        listed=counts["listed"],
        parts={name: counts[name] for name in SUMMANDS if counts[name] or name in SUMMANDS[:2]},
        besides={name: counts[name] for name in BESIDES if counts.get(name)},
        failures=failures,
        left_out=dict(sorted(left_out.items(), key=lambda each: -each[1])[:LEFT_OUT_KINDS]),
        bytes=sizes,
        without_size=without_size,
        untold=tuple(untold),
    )


def _failures(run: PublishedRun, counts: Mapping[str, int]) -> tuple[tuple[Failure, ...], bool]:
    """The classes, and whether all dead letters were read that examples were looked for in."""
    examples: dict[str, list[Example]] = {error: [] for error in counts}
    all_read = True
    wanted = sum(min(EXAMPLES, images) for images in counts.values())
    for entry in run.manifest["dead_letters"]:
        if not wanted:
            break
        all_read = all_read and entry["bytes"] <= EXAMPLE_BYTES
        for letter in _dead_letters(storage.join(run.folder, entry["path"])):
            kept = examples.get(letter["error"])
            if kept is not None and len(kept) < EXAMPLES:
                message = shortened(letter["message"], LONGEST_MESSAGE)
                kept.append(Example(letter["uri"], letter["stage"], message))
                wanted -= 1
            if not wanted:
                break
    ordered = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return tuple(Failure(error, images, tuple(examples[error])) for error, images in ordered), all_read or not wanted


def _dead_letters(uri: str) -> Iterator[dict[str, str]]:
    """The texts of the dead letters at the beginning of a file, up to `EXAMPLE_BYTES` of it."""
    fault = OutputError(f"{uri}: no dead letters that runs write; `embed-images verify` tells what does not hold")
    with open_current(uri) as file:
        text = file.read(EXAMPLE_BYTES + 1)
    lines = text[:EXAMPLE_BYTES].split(b"\n")
    for line in lines[:-1]:  # the last one is empty, or cut
        try:
            letter: Any = json.loads(line)
        except (ValueError, RecursionError):
            raise fault from None
        names = ("uri", "stage", "error", "message")
        if not isinstance(letter, dict) or not all(isinstance(letter.get(name), str) for name in names):
            raise fault
        yield {name: letter[name] for name in names}


def _sizes(run: PublishedRun) -> tuple[Bands, int]:
    """Sizes of embedded and failed images by bands, and how many have none."""
    counts, without = np.zeros(len(BYTES) + 1, np.int64), 0
    for ledger in run.manifest["ledgers"]:
        for batch in read_columns(storage.join(run.folder, ledger["path"]), ["size", "outcome"]):
            outcomes = np.array(batch.column("outcome").to_pylist(), object)
            sizes = batch.column("size").to_numpy(zero_copy_only=False)
            of_images = np.isin(outcomes, ["embedded", "failed"])
            known = of_images & (sizes >= 0)
            counts += count_between(sizes[known], BYTES)
            without += int((of_images & ~known).sum())
    return Bands(BYTES_LABELS, tuple(counts.tolist())), without
