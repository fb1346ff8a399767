"""From a pipeline to a job at work elsewhere."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
from apache_beam.runners.portability.portable_runner import PipelineResult

from pipeline.jobs.job import Job
from pipeline.jobs.portable import UNHEARD, PortableJob
from pipeline.options.beam import ends_with_launcher, job_endpoint_of, runner_of

NAME_LENGTH = 60  # Kubernetes' labels, which some runners make of it, hold 63


class UnknownStartError(Exception):
    """A submission ended without an answer: the job may be at work, or not."""


def name_job(options: PipelineOptions, run_id: str) -> None:
    """Names the job after its run, unless it has a name: lower-case letters, digits and hyphens, as Dataflow asks."""
    cloud = options.view_as(GoogleCloudOptions)
    if not cloud.job_name:
        words = re.sub("[^a-z0-9]+", "-", f"embed-images-{run_id}".lower())
        cloud.job_name = words[:NAME_LENGTH].strip("-")


def submit(pipeline: beam.Pipeline, options: PipelineOptions) -> Job:
    """Submits a pipeline to the runner of its options.

    Raises:
        UnknownStartError: it is not known whether the job was started.
        Exception: it was not: whatever a runner raises.
    """
    runner, name = runner_of(options), str(options.view_as(GoogleCloudOptions).job_name)
    try:
        with _own_interrupts():
            result = pipeline.run()
    except (KeyboardInterrupt, grpc.RpcError) as e:
        if isinstance(e, grpc.RpcError) and not (isinstance(e, grpc.Call) and e.code() in UNHEARD):
            raise
        raise UnknownStartError from e
    return _job_of(result, options, runner, name)


def _job_of(result: Any, options: PipelineOptions, runner: str, name: str) -> Job:
    if isinstance(result, PipelineResult):
        from pipeline.jobs.flink import FlinkJob, master_of

        server, ends = job_endpoint_of(options), ends_with_launcher(options)
        if master := master_of(options):
            return FlinkJob(result, runner, name, server, master, ends_with_launcher=ends)
        return PortableJob(result, runner, name, server, ends_with_launcher=ends)
    if hasattr(result, "has_job") and result.has_job:
        from pipeline.jobs.dataflow import DataflowJob

        return DataflowJob(result, runner, name, options)
    return Job(result, runner, name)


@contextlib.contextmanager
def _own_interrupts() -> Iterator[None]:
    """Keeps Ctrl-C ours: Beam would end the job server that it has started before anyone could ask it to cancel."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    own = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, own)
