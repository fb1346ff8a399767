"""embed-images run: from checked options to a published run."""

from __future__ import annotations

import json
import os
import platform
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import islice
from posixpath import basename
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.config import ConfigError, RunConfig
from pipeline.conversion import ModelError
from pipeline.logs import logger
from transforms import filesystems, layout, storage
from transforms.decoding import DRAFT_FACTOR, PREPROCESSING_VERSION
from transforms.elements import ImageObject
from transforms.engines import PACKAGES
from transforms.fetching import FetchError, Policy, fetch_and_wait
from transforms.inputs import ListingError, list_input
from transforms.store_errors import describe_error

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.model import FeatureModel

PROBED_IMAGES = 3
VERSIONS_OF = ("apache-beam", "tensorflow", "pillow", "numpy", "tfx-bsl")


class RunError(Exception):
    """A run that cannot start or did not publish; its text is for a person."""


@dataclass
class RunReport:
    """What a finished run did.

    Attributes:
        folder: the published run.
        manifest: its run.json.
        seconds: by phase: "start", "model", "list", "embed", "publish".
    """

    folder: str
    manifest: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        """Over the phase "embed": from the first image selected to the last one written."""
        counts = self.manifest["counts"]
        return float(counts["embedded"] + counts["failed"]) / max(self.seconds.get("embed", 0.0), 1e-9)


@contextmanager
def _launching() -> Iterator[None]:
    """Turns what may go wrong before a pipeline runs into a sentence."""
    try:
        yield
    except (RunError, ListingError, ConfigError, ModelError):
        raise
    except Exception as e:  # of files, packages and stores, which have error classes of their own
        raise RunError(f"the run cannot start: {describe_error(e)}") from e


def run(config: RunConfig) -> RunReport | None:
    """Runs the pipeline and waits for it; None when the runner was only asked to submit it.

    Raises:
        RunError: nothing was published, and why.
        ListingError, ModelError, ConfigError: before anything was started.
    """
    seconds: dict[str, float] = {}
    started = datetime.now(UTC)
    logger.info("run %s: %s to %s", config.run_id, ", ".join(config.input), config.output)
    with _launching(), _phase("start", seconds):
        filesystems.configure(config.storage_options)
        _check_output(config)
        _check_inputs(config)
        import apache_beam as beam

        from pipeline.graph import build
        from pipeline.model import prepare_model
        from pipeline.options import beam_options, runs_here
        from pipeline.quantization import quantize
        from pipeline.sampling import take_sample
        from transforms import tally

        options = beam_options(config)
        here = runs_here(options)
    with _launching(), _phase("model", seconds):
        model = prepare_model(
            config.model,
            config.engine,
            config.input_size,
            config.precision,
            here=here,
            sample=partial(take_sample, config),
            quantize=partial(quantize, config) if config.precision == "int8" else None,
            min_parity=config.min_parity,
        )
        attempt = uuid.uuid4().hex
        staging = layout.staging_folder(config.output, config.run_id, attempt)
        artifact_uri = storage.join(staging, "model", f"{model.digest[:16]}.{model.engine}")
        storage.write_bytes(artifact_uri, storage.read_bytes(model.artifact))
    logger.info(
        "model: %s, %d features, engine %s %s (cosine to the module on %d images: mean %.7f, least %.7f), %.1f s",
        model.handle, model.feature_dim, model.engine, model.precision, model.parity["count"],
        model.parity["mean_cosine"], model.parity["min_cosine"], seconds["model"],
    )  # fmt: skip
    tally.reset()
    with _launching():
        pipeline = beam.Pipeline(options=options)
    build(pipeline, config, model, artifact_uri, attempt, manifest_head(config, model, started, options))
    graph_started = time.monotonic()
    try:
        _execute(pipeline, here)
    except KeyboardInterrupt:
        if here:  # a job elsewhere goes on without its launcher
            _clean_up(staging)
        published = storage.exists(storage.join(layout.run_folder(config.output, config.run_id), layout.SUCCESS))
        logger.info("interrupted; %s", "the run is published already" if published else "nothing is published")
        raise
    except RunError:
        if here:
            _clean_up(staging)
        _check_rival(config, attempt)
        raise
    if here:
        _note_phases(seconds, graph_started)
    return _outcome(config, seconds)


def manifest_head(
    config: RunConfig, model: FeatureModel, started: datetime, options: PipelineOptions
) -> dict[str, Any]:
    """What the manifest says of a run before it has results."""
    from apache_beam.options.pipeline_options import StandardOptions

    return {
        "schema_version": layout.SCHEMA_VERSION,
        "run_id": config.run_id,
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "model": model.describe(),
        "preprocessing": {
            "version": PREPROCESSING_VERSION,
            "resize": config.resize,
            "filter": "bilinear, antialiased",
            "draft_factor": DRAFT_FACTOR,
        },
        "compression": config.compression,
        "beam": {"version": version("apache-beam"), "runner": options.view_as(StandardOptions).runner},
        "versions": {
            "embed-images": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in (*VERSIONS_OF, PACKAGES[model.engine])},
        },
        "config": config.describe(),
    }


def _check_output(config: RunConfig) -> None:
    """Refuses a run id that is published; clears what an interrupted publish left, which is no run."""
    folder = layout.run_folder(config.output, config.run_id)
    if storage.exists(storage.join(folder, layout.SUCCESS)):
        raise RunError(f"--run_id: {config.run_id!r} is published in {config.output} already; give another one")
    if storage.exists(folder):
        foreign = [
            path for path in filesystems.filesystem(folder).find(folder) if not layout.OWN_FILE.match(basename(path))
        ]
        if foreign:
            raise RunError(
                f"--run_id: {folder} holds {basename(foreign[0])!r}, which no run has written; give another one"
            )
        logger.info("clearing %s, which an earlier run left without %s", folder, layout.SUCCESS)
        storage.remove_folder(folder)
    storage.remove_folder(layout.refused_folder(config.output, config.run_id))
    if filesystems.is_local(folder):
        existing = folder
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing)
        if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
            raise RunError(f"--output: {existing} is no folder that can be written to")


def _check_inputs(config: RunConfig) -> None:
    """Refuses inputs that hold nothing, and ones whose first images may all not be read."""
    for text in config.input:
        left_out: list[ImageObject] = []
        listed = list_input(text, config.all_files, config.uri_column, left_out.append)
        own = partial(layout.is_own, config.output)
        first = list(islice((image for image in listed if not own(image.uri)), PROBED_IMAGES))
        if not first:
            hint = (
                f"; {len(left_out):,} files have no extension of an image (--all_files takes any)" if left_out else ""
            )
            raise ListingError(f"--input: {text!r} holds no image{hint}")
        if not filesystems.is_local(first[0].uri) and (denied := _denied(first, config.max_object_bytes)):
            raise RunError(
                f"--input: the store lets none of the first {len(first)} images of {text!r} be read ({denied}); "
                f"give credentials that may, see docs/operations.md"
            )


def _denied(images: list[ImageObject], max_bytes: int) -> str:
    """Why none of the images may be read; empty when one may, or fails for another reason."""
    reason = ""
    for image in images:
        if image.size > max_bytes:
            return ""
        try:
            fetch_and_wait(image, Policy(retries=1))
        except FetchError as e:
            if e.error != "PermissionDenied":
                return ""
            reason = str(e)
        else:
            return ""
    return reason


def _execute(pipeline: Any, here: bool) -> None:
    from pipeline.progress import progress

    try:
        if here:
            with progress():
                pipeline.run().wait_until_finish()
        else:
            pipeline.run().wait_until_finish()
    except Exception as e:  # whatever a runner raises: the user gets its last line, --verbose the rest
        if _is_interrupt(e):
            raise KeyboardInterrupt from e
        reason = str(e).strip().splitlines()
        raise RunError(f"the pipeline failed: {reason[-1] if reason else type(e).__name__}") from e


def _check_rival(config: RunConfig, attempt: str) -> None:
    """Says so when a run failed because another one with its id has published, and taken the staging along."""
    folder = layout.run_folder(config.output, config.run_id)
    if storage.exists(storage.join(folder, layout.SUCCESS)):
        manifest = json.loads(storage.read_bytes(storage.join(folder, layout.MANIFEST)))
        if manifest["attempt"] != attempt:
            raise RunError(f"another run with this id was faster: {folder} is its; nothing of it was overwritten")


def _clean_up(staging: str) -> None:
    """Removes what a run in this process has left that will not be published."""
    from transforms.writing import discard_spools

    discard_spools()
    storage.remove_folder(staging)


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C was pressed within a DoFn: Beam wraps whatever is raised there."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _outcome(config: RunConfig, seconds: dict[str, float]) -> RunReport | None:
    """A run is what was published, whatever a runner says of its job."""
    folder = layout.run_folder(config.output, config.run_id)
    if storage.exists(storage.join(folder, layout.SUCCESS)):
        manifest = json.loads(storage.read_bytes(storage.join(folder, layout.MANIFEST)))
        return RunReport(folder, manifest, seconds)
    refused = layout.refused_folder(config.output, config.run_id)
    if storage.exists(storage.join(refused, layout.MANIFEST)):
        manifest = json.loads(storage.read_bytes(storage.join(refused, layout.MANIFEST)))
        raise RunError(f"nothing is published: {manifest['refused']}. The dead letters are in {refused}")
    return None


def _note_phases(seconds: dict[str, float], graph_started: float) -> None:
    """Cuts the time of the graph at the first image that was selected and the last that was written."""
    from transforms import tally

    counts = tally.counts()
    first = tally.first_counted("images_selected") or graph_started
    done = [tally.last_counted(name) or first for name in ("images_embedded", "images_failed")]
    seconds["list"] = first - graph_started
    seconds["embed"] = max(done) - first
    seconds["publish"] = time.monotonic() - max(done)
    skipped = f", {counts['files_skipped']:,} files of other kinds left out" if counts["files_skipped"] else ""
    logger.info("list: %d images%s, %.1f s", counts["images_selected"], skipped, seconds["list"])
    logger.info(
        "embed: %d embedded, %d failed, %.1f MB read, %.1f s",
        counts["images_embedded"], counts["images_failed"], counts["bytes_read"] / 1e6, seconds["embed"],
    )  # fmt: skip
    logger.info("publish: %.1f s", seconds["publish"])


@contextmanager
def _phase(name: str, seconds: dict[str, float]) -> Iterator[None]:
    start = time.monotonic()
    yield
    seconds[name] = time.monotonic() - start
