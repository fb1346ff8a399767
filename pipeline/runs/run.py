"""embed-images run: from checked options to a published run."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pipeline.console.logs import logger, tell
from pipeline.options.config import RunConfig
from pipeline.options.reaching import check_stores
from pipeline.options.workers import spread
from pipeline.runs.launching import (
    check_endpoint,
    check_inputs,
    check_output,
    check_scratch,
    find_columns,
    launching,
    patiently,
    published,
)
from pipeline.runs.phases import Phases
from pipeline.runs.resuming import complete_publish, leftovers, note_attempt, stage_model
from pipeline.runs.running import RunReport, at_work, execute, report_of
from transforms.stores import filesystems

if TYPE_CHECKING:
    from pipeline.model.feature_model import FeatureModel


def run(config: RunConfig) -> RunReport | None:
    """Runs the pipeline and waits for it; None when the runner was only asked to submit it.

    A run that is published already is left as it is, and reported. What a killed attempt at it has finished is
    taken over.

    Raises:
        RunError: nothing was published, and why.
        ListingError, ModelError, ConfigError: before anything was started.
    """
    given, config = config, spread(config)
    output, run_id = config.output, config.run_id
    started, attempt, phases = datetime.now(UTC), uuid.uuid4().hex, Phases(config.limit)
    told = {"run_id": run_id, "input": config.input, "output": output}
    tell("start", told, "run %s: %s to %s", run_id, ", ".join(config.input), output)
    if config is not given:
        logger.info("%s, of %d threads each", " ".join(config.beam_args[-2:]), config.threads)

    with launching(), phases.measure("start"):
        filesystems.configure(config.storage_options)
        with patiently([output, *config.input]):
            check_stores([output], [*config.input, config.model])
            if report := published(output, run_id, config.identity()):
                return report
            check_output(output, run_id)
            check_scratch()
            check_inputs(config.input, config.rules, output, config.max_object_bytes)
            columns = find_columns(config)
        # Beam takes two seconds to import, so what is refused is refused before.
        import apache_beam as beam

        from pipeline.graph import UNITS_HERE, UNITS_ON_CLUSTERS, build
        from pipeline.options.beam import (
            beam_options,
            check_secrets,
            ends_with_launcher,
            job_endpoint_of,
            runner_of,
            runs_here,
            works_locally,
        )
        from pipeline.runs.elsewhere import execute_elsewhere

        options = beam_options(config)
        check_secrets(config.storage_options, options)
        check_endpoint(job_endpoint_of(options))
        if not works_locally(options):
            from pipeline.jobs.flink import warn_of_slots

            warn_of_slots(options)
    here, locally = runs_here(options), works_locally(options)

    with ExitStack() as held:
        with launching():
            from pipeline.jobs.asking import has_ended_there
            from pipeline.jobs.submitting import name_job
            from pipeline.outputs.lease import HeldError, lease
            from pipeline.runs.waiting import wait_until_ended

            name_job(options, run_id)
            ended = partial(has_ended_there, options=options)
            try:
                hold = held.enter_context(
                    lease(output, run_id, attempt, here=ends_with_launcher(options), has_ended=ended)
                )
            except HeldError as e:
                if not e.by_job or config.no_wait:
                    raise
                logger.info("%s. Waiting for it", e)
                wait_until_ended(output, run_id)
                return published(output, run_id, config.identity())
            if complete_publish(output, run_id, config.identity()):
                return published(output, run_id, config.identity())

        with at_work(output, run_id, attempt):
            with launching(), phases.measure("model"):
                from pipeline.outputs.history import (
                    check_generation,
                    generation_of,
                    ledgers_of,
                    place_in_time,
                    published_runs,
                    settle_columns,
                )
                from pipeline.runs.head import manifest_head, preprocessing_of
                from pipeline.runs.repeating import say_repeats

                model = model_of(config, here)
                generation = generation_of(model, preprocessing_of(config.resize))
                earlier = published_runs(output, all_of_them=config.incremental)
                check_generation(earlier, generation, new_model=config.new_model)
                columns = settle_columns(columns, earlier)
                making = {"identity": config.identity(), "generation": generation}
                finished = leftovers(output, run_id, making)
                note_attempt(output, run_id, attempt, making)
                artifact_uri = stage_model(output, run_id, attempt, model)
                history = ledgers_of(earlier, generation) if config.incremental else []
                as_of = place_in_time(started, earlier)
                if not config.incremental:
                    say_repeats(config, [run for run in earlier if run.generation == generation])
                head = manifest_head(config, columns, model, generation, started, as_of, runner_of(options))
            _say_model(model, phases.seconds["model"], len(finished))

            with launching():
                pipeline = beam.Pipeline(options=options)
                units, renewed = (UNITS_HERE, None) if locally else (UNITS_ON_CLUSTERS, hold.lease)
                build(pipeline, config, model, artifact_uri, attempt, head, history, finished, units, renewed, columns)
            if locally:
                with phases.measure_graph(processes=not here):
                    phases.counted = execute(pipeline)
        if not locally:
            execute_elsewhere(pipeline, options, hold, phases, wait=not config.no_wait)
            if config.no_wait:
                return None
        return report_of(output, run_id, phases)


def model_of(config: RunConfig, here: bool) -> FeatureModel:
    """The module, ready to run, its vectors measured on images of the run itself."""
    from pipeline.graph import listing_of, loading_of
    from pipeline.model.prepare import prepare_model
    from pipeline.model.quantization import quantize
    from pipeline.model.sampling import take_sample

    loading = partial(loading_of, config)
    return prepare_model(
        config.model,
        config.engine,
        config.input_size,
        config.precision,
        signature=config.signature,
        output_name=config.output_name,
        trust=config.trust_module,
        here=here,
        sample=partial(take_sample, config.input, listing_of(config), loading),
        quantize=partial(quantize, config.output, loading) if config.precision == "int8" else None,
        min_parity=config.min_parity,
    )


def _say_model(model: FeatureModel, seconds: float, finished: int) -> None:
    figures = {
        "model": model.handle, "signature": model.signature, "output_name": model.output_name,
        "features": model.feature_dim, "engine": model.engine, "precision": model.precision, "parity": model.parity,
        "seconds": round(seconds, 3),
    }  # fmt: skip
    usual = (model.signature, model.output_name) == ("serving_default", "default")
    tell(
        "model", figures,
        "model: %s%s, %d features, %s %s, cosine to the module on %d images %.7f or more, %.1f s", model.handle,
        "" if usual else f" (signature {model.signature}, output {model.output_name})", model.feature_dim, model.engine,
        model.precision, model.parity["count"], model.parity["min_cosine"], seconds,
    )  # fmt: skip
    if finished:
        words = "resuming: %d finished shards of an earlier attempt are taken over"
        tell("resume", {"shards": finished}, words, finished)
