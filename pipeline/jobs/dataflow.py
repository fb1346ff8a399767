"""Jobs of Dataflow."""

from __future__ import annotations

from typing import Any

from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from pipeline.jobs.job import Job, has_ended

LEAST_OF_INTEREST = "JOB_MESSAGE_ERROR"


class DataflowJob(Job):
    """A job that the service works at. Its client waits and tries again by itself when nothing answers."""

    def __init__(self, result: Any, runner: str, name: str, options: PipelineOptions):
        super().__init__(result, runner, name)
        self.id = str(result.job_id())
        self.at = console_of(self.id, options)
        self.server = place_of(options)

    def reason(self) -> str:
        """The last error that tells of the program, else the last one."""
        messages, _ = self.result._runner.dataflow_client.list_messages(self.id, minimum_importance=LEAST_OF_INTEREST)
        texts = [str(message.message_text) for message in messages]
        return max(texts, key=lambda text: "Traceback" in text, default="")


def console_of(job_id: str, options: PipelineOptions) -> str:
    """The page of a job in Google's console."""
    cloud = options.view_as(GoogleCloudOptions)
    return f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job_id}?project={cloud.project}"


def place_of(options: PipelineOptions) -> str:
    """The project and region whose service works at jobs of these options."""
    cloud = options.view_as(GoogleCloudOptions)
    return f"{cloud.project}/{cloud.region}"


def has_ended_there(job: dict[str, str], options: PipelineOptions) -> bool:
    """Whether the service says that a job has ended; False when it does not answer, or another one is asked for."""
    from apache_beam.runners.dataflow.dataflow_runner import DataflowPipelineResult
    from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient

    if job["server"] != place_of(options):
        return False
    try:
        current = DataflowApplicationClient(options).get_job(job["id"]).current_state
    except Exception:  # of its client: whatever it is, the job may live
        return False
    return has_ended(DataflowPipelineResult.api_jobstate_to_pipeline_state(current))
