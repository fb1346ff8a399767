"""embed-images run: from checked options to a published run."""

from __future__ import annotations

import json
import platform
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.console.logs import logger
from pipeline.errors import RunError
from pipeline.options.config import RunConfig
from pipeline.runs.launching import check_inputs, check_output, launching
from pipeline.runs.resuming import complete_publish, identity, leftovers, note_attempt
from pipeline.runs.running import RunReport, check_rival, clean_up, execute, outcome
from transforms.engines import PACKAGES
from transforms.images.decoding import DRAFT_FACTOR, PREPROCESSING_VERSION
from transforms.records import layout
from transforms.stores import filesystems, storage

if TYPE_CHECKING:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    from pipeline.model.feature_model import FeatureModel

PREPROCESSING = {
    "version": PREPROCESSING_VERSION,
    "filter": "bilinear, antialiased",
    "draft_factor": DRAFT_FACTOR,
}
VERSIONS_OF = ("apache-beam", "tensorflow", "pillow", "numpy", "tfx-bsl")


def run(config: RunConfig) -> RunReport | None:
    """Runs the pipeline and waits for it; None when the runner was only asked to submit it.

    A run that is published already is left as it is, and reported. What a killed attempt at it has finished is
    taken over.

    Raises:
        RunError: nothing was published, and why.
        ListingError, ModelError, ConfigError: before anything was started.
    """
    seconds: dict[str, float] = {}
    started = datetime.now(UTC)
    attempt = uuid.uuid4().hex
    logger.info("run %s: %s to %s", config.run_id, ", ".join(config.input), config.output)
    with launching(), _phase("start", seconds):
        filesystems.configure(config.storage_options)
        if published := _published(config):
            return published
        check_output(config)
        check_inputs(config)
        from pipeline.options.beam import beam_options, works_locally
        from pipeline.outputs.lease import lease

        options = beam_options(config)
    here = works_locally(options)
    with ExitStack() as held:
        with launching():
            kept = config.no_wait and not here
            held.enter_context(lease(config.output, config.run_id, attempt, here=here, kept=kept))
            if complete_publish(config):
                return _published(config)
        return _run_held(config, attempt, options, started, seconds)


def _run_held(
    config: RunConfig, attempt: str, options: PipelineOptions, started: datetime, seconds: dict[str, float]
) -> RunReport | None:
    """As `run`, by the one who holds the run id."""
    from pipeline.options.beam import runs_here

    here = runs_here(options)
    try:
        pipeline = _pipeline(config, attempt, options, started, seconds)
        graph_started = time.monotonic()
        execute(pipeline, here, wait=not config.no_wait)
    except KeyboardInterrupt:
        if here:  # a job elsewhere goes on without its launcher
            clean_up(config.output, config.run_id, attempt)
        published = storage.exists(storage.join(layout.run_folder(config.output, config.run_id), layout.SUCCESS))
        logger.info("interrupted; %s", "the run is published already" if published else "nothing is published")
        raise
    except RunError:
        if here:
            clean_up(config.output, config.run_id, attempt)
        check_rival(config.output, config.run_id, attempt)
        raise
    if here:
        _note_phases(seconds, graph_started)
    return outcome(config.output, config.run_id, seconds)


def _pipeline(
    config: RunConfig, attempt: str, options: PipelineOptions, started: datetime, seconds: dict[str, float]
) -> beam.Pipeline:
    """Prepares the model, stages what workers need, and builds the graph."""
    with launching(), _phase("model", seconds):
        import apache_beam as beam

        from pipeline.graph import UNITS_HERE, UNITS_ON_CLUSTERS, build
        from pipeline.options.beam import runs_here, works_locally
        from pipeline.outputs.history import check_generation, generation_of, ledgers_of, published_runs
        from transforms import tally

        model = _prepare(config, runs_here(options))
        generation = generation_of(model, PREPROCESSING | {"resize": config.resize})
        runs = published_runs(config.output)
        check_generation(runs, generation, new_model=config.new_model)
        left = leftovers(config, generation)
        note_attempt(config, attempt, generation)
        staging = layout.staging_folder(config.output, config.run_id, attempt)
        artifact_uri = storage.join(staging, "model", f"{model.digest[:16]}.{model.engine}")
        storage.write_bytes(artifact_uri, storage.read_bytes(model.artifact))
    logger.info(
        "model: %s (signature %s, output %s), %d features, engine %s %s (cosine to the module on %d images: mean %.7f, "
        "least %.7f), %.1f s", model.handle, model.signature, model.output_name, model.feature_dim, model.engine,
        model.precision, model.parity["count"],
        model.parity["mean_cosine"], model.parity["min_cosine"], seconds["model"],
    )  # fmt: skip
    if left:
        logger.info("resuming: %d finished shards of an earlier attempt are taken over", len(left))
    tally.reset()
    with launching():
        pipeline = beam.Pipeline(options=options)
    history = ledgers_of(runs, generation) if config.incremental else []
    head = manifest_head(config, model, generation, started, options)
    units = UNITS_HERE if works_locally(options) else UNITS_ON_CLUSTERS
    build(pipeline, config, model, artifact_uri, attempt, head, history, left, units)
    return pipeline


def _prepare(config: RunConfig, here: bool) -> FeatureModel:
    from pipeline.model.prepare import prepare_model
    from pipeline.model.quantization import quantize
    from pipeline.model.sampling import take_sample

    return prepare_model(
        config.model,
        config.engine,
        config.input_size,
        config.precision,
        signature=config.signature,
        output_name=config.output_name,
        trust=config.trust_module,
        here=here,
        sample=partial(take_sample, config),
        quantize=partial(quantize, config) if config.precision == "int8" else None,
        min_parity=config.min_parity,
    )


def _published(config: RunConfig) -> RunReport | None:
    """The report of a run that is published already with these options; None when it is not published.

    Raises:
        RunError: it is published with others.
    """
    folder = layout.run_folder(config.output, config.run_id)
    if not storage.exists(storage.join(folder, layout.SUCCESS)):
        return None
    manifest = json.loads(storage.read_bytes(storage.join(folder, layout.MANIFEST)))
    mine, its = identity(config), manifest["identity"]
    if mine != its:
        differing = sorted(name for name in mine if mine[name] != its.get(name))
        raise RunError(
            f"--run_id: {config.run_id!r} is published in {config.output} already, with another "
            f"{', '.join(differing)}; give another one"
        )
    logger.info("run %s is published already with these options: nothing to do", config.run_id)
    return RunReport(folder, manifest)


def manifest_head(
    config: RunConfig,
    model: FeatureModel,
    generation: Mapping[str, Any],
    started: datetime,
    options: PipelineOptions,
) -> dict[str, Any]:
    """What the manifest says of a run before it has results."""
    from apache_beam.options.pipeline_options import StandardOptions

    return {
        "schema_version": layout.SCHEMA_VERSION,
        "run_id": config.run_id,
        "started": started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "as_of": started.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "identity": identity(config),
        "generation": generation,
        "model": model.describe(),
        "preprocessing": generation["preprocessing"],
        "compression": config.compression,
        "beam": {"version": version("apache-beam"), "runner": options.view_as(StandardOptions).runner},
        "versions": {
            "embed-images": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in (*VERSIONS_OF, PACKAGES[model.engine])},
        },
        "config": config.describe(),
    }


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
