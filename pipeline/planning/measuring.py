"""What an image costs here: some images of the run, really fetched, decoded, embedded and written, then dropped."""

from __future__ import annotations

import json
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam

from pipeline.graph import build, policy_of
from pipeline.model.feature_model import FeatureModel
from pipeline.options.beam import LOCAL_RUNNER
from pipeline.options.config import RunConfig
from pipeline.outputs.history import generation_of
from pipeline.runs.head import manifest_head, preprocessing_of
from pipeline.runs.resuming import stage_model
from pipeline.runs.running import execute, outcome
from transforms import tally
from transforms.elements import ImageObject
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.reading import read_container
from transforms.stores.fetching import Policy

EACH = 64  # members that are taken of a container
AROUND = 768  # bytes around a member, as a tar has them: a header, and on the average half a block


class Measured(NamedTuple):
    """Attributes:
    images: that were embedded, or failed to be.
    failed: of these, by error.
    first_seconds: until the first of them were written, beyond what each image takes: engines load, pipes fill.
    image_seconds: that each one takes after that.
    publish_seconds: of the one shard.
    bytes_read: of encoded images.
    shard_bytes, ledger_bytes: of the records, and their ledgers.
    member_bytes: mean size of a member of a container, with what stands around it; 0 where none was read.
    """

    images: int
    failed: dict[str, int]
    first_seconds: float
    image_seconds: float
    publish_seconds: float
    bytes_read: int
    shard_bytes: int
    ledger_bytes: int
    member_bytes: float


def measure(config: RunConfig, model: FeatureModel, some: Sequence[str], containers: Mapping[str, int]) -> Measured:
    """Runs the pipeline over some images, in a temporary folder that is gone afterwards.

    Args:
        some: uris of loose images.
        containers: sizes of containers by uri, of which the first `EACH` members each are taken; -1 for unknown.
    """
    with tempfile.TemporaryDirectory() as folder:
        members, member_bytes = _unpacked(config, containers, Path(folder) / "members")
        listing = Path(folder) / "some.jsonl"
        listing.write_text("".join(json.dumps({"uri": uri}) + "\n" for uri in [*some, *members]))
        measured = _run(_alone(config, str(listing), f"{folder}/output"), model)
    return measured._replace(member_bytes=member_bytes)


def _alone(config: RunConfig, listing: str, output: str) -> RunConfig:
    """The options of the run that say how an image is read and embedded, and none that say which."""
    return replace(
        config,
        input=(listing,),
        output=output,
        run_id="measured",
        incremental=False,
        dedup="none",
        since=None,
        until=None,
        limit=0,
        exclude=(),
        sample=1.0,
        columns=(),
        label_from=None,
        uri_column="uri",
        version_column=None,
        size_column=None,
        updated_column=None,
        md5_column=None,
        allow_local=True,
        max_failure_rate=1.0,
        shard_seconds=0,
        beam_args=(),
    )


def _run(config: RunConfig, model: FeatureModel) -> Measured:
    now, attempt = datetime.now(UTC), uuid.uuid4().hex
    generation = generation_of(model, preprocessing_of(config.resize))
    head = manifest_head(config, [], model, generation, now, now, LOCAL_RUNNER)
    artifact_uri = stage_model(config.output, config.run_id, attempt, model)
    pipeline = beam.Pipeline(runner=LOCAL_RUNNER)
    build(pipeline, config, model, artifact_uri, attempt, head)
    tally.reset()
    execute(pipeline)
    ended = time.monotonic()
    report = outcome(config.output, config.run_id)
    if report is None:
        raise RuntimeError("the sample was run and nothing of it is there")
    counts, said = report.manifest["counts"], tally.counts()
    images = counts["embedded"] + counts["failed"]
    first_image = tally.first_counted("images_selected") or ended
    times = [tally.first_counted("images_embedded"), tally.last_counted("images_embedded")]
    first_written, last_written = (first_image if moment is None else moment for moment in times)
    first_batch = min(config.batch_size, counts["embedded"])  # written at once
    if counts["embedded"] > first_batch:
        each = (last_written - first_written) / (counts["embedded"] - first_batch)
    else:
        each = (last_written - first_image) / max(images, 1)
    return Measured(
        images,
        counts["failed_by_error"],
        max(0.0, first_written - first_image - each * first_batch),
        each,
        ended - last_written,
        said["bytes_read"],
        sum(shard["bytes"] for shard in report.manifest["shards"]),
        sum(ledger["bytes"] for ledger in report.manifest["ledgers"]),
        0.0,
    )


def _unpacked(config: RunConfig, containers: Mapping[str, int], folder: Path) -> tuple[list[str], float]:
    """(local copies of the first members of each container, mean bytes of a member and what is around it)."""
    asked = Asked(image_column=config.rules.image_column, max_bytes=config.max_object_bytes)
    policy: Policy = policy_of(config)
    paths: list[str] = []
    taken = 0
    folder.mkdir()
    for uri, container_size in containers.items():
        first, size = len(paths), 0
        for member in islice(read_container(ImageObject(uri), asked, policy, lambda *_: ""), EACH):
            if isinstance(member.content, bytes):
                path = folder / f"{len(paths)}"
                path.write_bytes(member.content)
                paths.append(str(path))
                size += len(member.content) + AROUND
        is_whole = len(paths) - first < EACH and container_size > 0
        taken += container_size if is_whole else size
    return paths, taken / len(paths) if paths else 0.0
