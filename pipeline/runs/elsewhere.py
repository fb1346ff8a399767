"""A run whose job works elsewhere: submitted, watched, cancelled, or left with word of how to wait for it.

Whatever becomes of the connection to a job, what counts is its output. The lease tells who works at a run, and its job
renews it (`transforms.holding`); so a job that is not heard of any more can still be waited for, and one that has lost
its lease cannot publish.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineState

from pipeline.console.logs import logger, tell
from pipeline.errors import RunError
from pipeline.jobs.job import Job
from pipeline.jobs.reasons import reason_of, was_cancelled
from pipeline.jobs.submitting import UnknownStartError, submit
from pipeline.jobs.watching import LostError, Watch
from pipeline.outputs.lease import Hold, job_text, wait_command
from pipeline.runs.phases import Phases
from pipeline.runs.running import check_rival, clean_up, is_published, said_of, say_how_to_go_on
from pipeline.runs.staged import Staged
from pipeline.runs.waiting import wait_until_ended
from transforms.records import removal


def execute_elsewhere(
    pipeline: beam.Pipeline, options: PipelineOptions, hold: Hold, phases: Phases, *, wait: bool
) -> None:
    """Submits a pipeline and, when asked to `wait`, waits until its job has ended, or its output shows that.

    Raises:
        RunError: it failed, was cancelled by someone, or nothing more is known of it.
        KeyboardInterrupt: Ctrl-C; once cancels the job, twice leaves it.
    """
    started = time.monotonic()
    job = _submitted(pipeline, options, hold)
    tell("submitted", job.describe(), "submitted: %s", job_text(job.describe()))
    if not wait:
        hold.hand_over()
        return
    what = job_text(job.describe())
    watch = Watch(job, Staged(hold.output, hold.run_id).text, what=what, limit=phases.limit)
    try:
        state = watch.wait()
    except KeyboardInterrupt:
        _cancel(job, watch, hold)
        raise
    except LostError as e:
        _go_on_without(job, hold, str(e))
        phases.seconds["job"] = time.monotonic() - started
        return
    finally:
        job.close()
    phases.seconds["job"] = time.monotonic() - started
    phases.images = watch.counters["images_embedded"] + watch.counters["images_failed"]
    if state != PipelineState.DONE:
        _end(hold)
        if is_published(hold.output, hold.run_id):
            return
        check_rival(hold.output, hold.run_id, hold.attempt)
        why = job.reason()
        if state == PipelineState.CANCELLED or was_cancelled(why):
            raise RunError(f"the job was cancelled, and nothing is published ({job_text(job.describe())})")
        raise RunError(f"the pipeline failed: {reason_of(why, state)}")


def execute_unheld(pipeline: beam.Pipeline, options: PipelineOptions) -> None:
    """Submits a pipeline that is no run, such as an export's, and waits until its job has ended.

    Raises:
        RunError: it failed, or nothing more is known of it.
        KeyboardInterrupt: Ctrl-C, which cancels the job.
    """
    try:
        job = submit(pipeline, options)
    except Exception as e:  # whatever a runner raises
        raise RunError(f"the job could not be submitted: {reason_of(_said_by(e.__cause__ or e))}") from e
    what = job_text(job.describe())
    tell("submitted", job.describe(), "submitted: %s", what)
    watch = Watch(job, lambda: "", what=what)
    try:
        state = watch.wait()
        why = "" if state == PipelineState.DONE else job.reason()
    except LostError as e:
        raise RunError(f"{what} is lost ({e}); it may go on") from e
    except KeyboardInterrupt:
        logger.info("cancelling %s", what)
        with suppress(Exception):  # of a runner that cannot, or is not heard of any more
            job.cancel()
        raise
    finally:
        job.close()
    if state != PipelineState.DONE:
        raise RunError(f"the pipeline failed: {reason_of(why, state)}")


def _submitted(pipeline: beam.Pipeline, options: PipelineOptions, hold: Hold) -> Job:
    try:
        job = submit(pipeline, options)
    except UnknownStartError as e:
        hold.hand_over()
        logger.info(
            "it is not known whether the job was started; if it was, `%s` waits for it; if not, run id %s is free in "
            "5 minutes", wait_command(hold.output, hold.run_id), hold.run_id,
        )  # fmt: skip
        if isinstance(e.__cause__, KeyboardInterrupt):
            raise KeyboardInterrupt from e
        raise RunError(f"the job could not be submitted: {reason_of(_said_by(e.__cause__))}") from e
    except Exception as e:  # whatever a runner raises
        _end(hold)
        raise RunError(f"the job could not be submitted: {reason_of(_said_by(e))}") from e
    hold.name_job(job.describe())
    return job


def _cancel(job: Job, watch: Watch, hold: Hold) -> None:
    """Cancels a job at the first Ctrl-C, and leaves it at the second, or when it cannot be cancelled."""
    logger.info("cancelling %s; Ctrl-C again leaves it at work", job_text(job.describe()))
    try:
        job.cancel()
        state = watch.wait()
    except KeyboardInterrupt:
        _leave(job, hold, "left at work")
    except Exception as e:  # of a runner that cannot cancel, or is not heard of any more
        _leave(job, hold, f"it could not be cancelled ({reason_of(_said_by(e))})")
    else:
        _end(hold)
        state = PipelineState.CANCELLED if was_cancelled(job.reason()) else state
        told = {"run_id": hold.run_id, "state": state}
        tell("interrupted", told, "interrupted, the job is %s; %s", state.lower(), said_of(hold.output, hold.run_id))
        if not is_published(hold.output, hold.run_id):
            say_how_to_go_on(hold.run_id)


def _leave(job: Job, hold: Hold, what: str) -> None:
    if job.ends_with_launcher:
        _end(hold)
        logger.info("interrupted; its workers end with this process; %s", said_of(hold.output, hold.run_id))
        say_how_to_go_on(hold.run_id)
        return
    hold.hand_over()
    logger.info(
        "%s: the job may go on and publish; `%s` waits for it, and the tools of its runner show and cancel it: %s",
        what, wait_command(hold.output, hold.run_id), job_text(job.describe()),
    )  # fmt: skip


def _go_on_without(job: Job, hold: Hold, why: str) -> None:
    """Waits for a job that nobody answers for, by its output."""
    if job.ends_with_launcher:
        _end(hold)
        raise RunError(f"{job_text(job.describe())} is lost ({why}): {said_of(hold.output, hold.run_id)}")
    hold.hand_over()
    logger.info(
        "%s: %s. The job may go on, so its output is watched instead; Ctrl-C leaves it, and then `%s` waits for it",
        job_text(job.describe()), why, wait_command(hold.output, hold.run_id),
    )  # fmt: skip
    wait_until_ended(hold.output, hold.run_id)


def _end(hold: Hold) -> None:
    """What is done when a job has ended without publishing, or is said to have: from here on it cannot publish."""
    if is_published(hold.output, hold.run_id):
        return
    hold.bar()
    if is_published(hold.output, hold.run_id):  # meanwhile
        removal.remove_staging(hold.output, hold.run_id)
    elif not clean_up(hold.output, hold.run_id, hold.attempt):
        hold.unbar()


def _said_by(error: BaseException | None) -> str:
    """What an error says; of gRPC's, whose text is a dump of the call, what its server said."""
    details = getattr(error, "details", None)
    said: Any = details() if callable(details) else error
    return str(said or "") or type(error).__name__
