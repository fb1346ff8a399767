"""Whether a job that a lease tells of has ended: asked of the runner that a command names, and of no other."""

from __future__ import annotations

from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.options.beam import job_endpoint_of, runner_of


def has_ended_there(job: dict[str, str], options: PipelineOptions) -> bool:
    """Whether the runner of these options says so; False when it does not answer or is another one.

    Args:
        job: see `shapes.Job`.
    """
    if job["runner"] != runner_of(options):
        return False
    if "dataflow" in job["runner"].lower():
        from pipeline.jobs import dataflow

        return dataflow.has_ended_there(job, options)
    if job_endpoint_of(options):
        from pipeline.jobs import portable

        return portable.has_ended_there(job, options)
    return False
