"""What a run that does not look at earlier ones is about to embed again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.console.logs import logger
from pipeline.options.config import RunConfig
from pipeline.outputs.history import PublishedRun
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import ignore
from transforms.records import layout
from transforms.records.ledger import read_columns
from transforms.stores import storage

FIRST_IMAGES = 1000  # of each input: a page of a store's listing
LEDGER_BYTES = 64 << 20  # that are read; a larger output is looked at in part


def say_repeats(config: RunConfig, earlier: Sequence[PublishedRun]) -> None:
    """Says in the log how many of the first images of the inputs earlier runs have embedded, in the same versions.

    Args:
        earlier: the runs of the output whose vectors would be the same, the newest last.
    """
    try:
        _say_repeats(config, earlier)
    except Exception as e:  # of a store, or a ledger that cannot be read: the run needs none of this
        logger.debug("earlier runs not looked at: %s", e)


def _say_repeats(config: RunConfig, earlier: Sequence[PublishedRun]) -> None:
    versions: dict[str, str] = {}
    for text in config.input if earlier else ():
        for image in islice(list_input(text, config.rules, ignore), FIRST_IMAGES):
            if not layout.is_own(config.output, image.uri):
                versions[image.uri] = image.version
    if known := _embedded(versions, earlier):
        logger.warning(
            "earlier runs of this output have the vectors of %s images already (of %s that were looked up, the first "
            "of the inputs): all are embedded again; --incremental embeds only what is new or changed",
            f"{known:,}", f"{len(versions):,}",
        )  # fmt: skip


def _embedded(versions: dict[str, str], runs: Sequence[PublishedRun]) -> int:
    """How many of these images have a vector of that version, or were read as containers; of no version, of any."""
    looked_up, found, left = pa.array(list(versions), pa.string()), set[str](), LEDGER_BYTES
    for run in reversed(runs) if versions else ():
        for ledger in run.manifest["ledgers"]:
            if left < 0 or len(found) == len(versions):
                return len(found)
            left -= ledger["bytes"]
            for batch in read_columns(storage.join(run.folder, ledger["path"]), ["uri", "version", "outcome"]):
                rows = batch.filter(pc.is_in(batch["uri"], looked_up)).to_pylist()
                found |= {
                    row["uri"]
                    for row in rows
                    if row["outcome"] in ("embedded", "read") and versions[row["uri"]] in ("", row["version"])
                }
    return len(found)
