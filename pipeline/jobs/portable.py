"""Jobs of job servers, which speak Beam's Job API: Flink's, Spark's, Prism, and Beam's own of Python."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PipelineResult, PortableMetrics

from pipeline.console.logs import logger
from pipeline.jobs.job import ForgottenError, Job, NoAnswerError, has_ended, sums_of
from pipeline.options.beam import job_endpoint_of

ANSWER_SECONDS = 10.0
LAST_WORDS_SECONDS = 5.0  # for messages that come after the end
# What a call ends with whose request may have been heard.
UNHEARD = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
Message = beam_job_api_pb2.JobMessage
Answer = TypeVar("Answer")


class PortableJob(Job):
    """A job that a job server takes care of. Beam's own way to wait for one ends when its connection does."""

    def __init__(
        self, result: PipelineResult, runner: str, name: str, server: str, *, at: str = "", ends_with_launcher: bool
    ):
        """
        Args:
            server: HOST:PORT of the job server; "" of one that was started for this job alone.
            at: where a person looks at it, if not there.
        """
        super().__init__(result, runner, name, ends_with_launcher=ends_with_launcher)
        self.id = str(result._job_id)
        self.at = at or server
        self.server = server
        self._service = result._job_service
        self._errors: list[str] = []
        self._reader = threading.Thread(target=self._read_messages, name="messages", daemon=True)
        self._reader.start()

    def state(self) -> str:
        request = beam_job_api_pb2.GetJobStateRequest(job_id=self.id)
        return _state_of(_asked(lambda: self._service.GetState(request, timeout=ANSWER_SECONDS)))

    def counters(self) -> Counter[str]:
        request = beam_job_api_pb2.GetJobMetricsRequest(job_id=self.id)
        answer = _asked(lambda: self._service.GetJobMetrics(request, timeout=ANSWER_SECONDS))
        return sums_of(PortableMetrics(answer))

    def cancel(self) -> None:
        request = beam_job_api_pb2.CancelJobRequest(job_id=self.id)
        _asked(lambda: self._service.Cancel(request, timeout=ANSWER_SECONDS))

    def reason(self) -> str:
        self._reader.join(LAST_WORDS_SECONDS)
        return self._errors[-1] if self._errors else ""

    def close(self) -> None:
        self.result._cleanup()

    def _read_messages(self) -> None:
        try:
            for response in self.result._message_stream:
                if response.HasField("message_response"):
                    self._note(response.message_response)
        except grpc.RpcError as e:  # the states are asked for apart
            logger.debug("messages of job %s end: %s", self.id, e)

    def _note(self, message: Any) -> None:
        logger.debug("job %s: %s", self.id, message.message_text)
        if message.importance == Message.JOB_MESSAGE_ERROR:
            self._errors.append(message.message_text)


def has_ended_there(job: dict[str, str], options: PipelineOptions) -> bool:
    """Whether the job server that these options name says that a job has ended; False when it cannot be asked."""
    endpoint = job_endpoint_of(options)
    if job["server"] != endpoint:
        return False
    request = beam_job_api_pb2.GetJobStateRequest(job_id=job["id"])
    with grpc.insecure_channel(endpoint) as channel:
        service = beam_job_api_pb2_grpc.JobServiceStub(channel)
        try:
            return has_ended(_state_of(_asked(lambda: service.GetState(request, timeout=ANSWER_SECONDS))))
        except (NoAnswerError, ForgottenError, grpc.RpcError):
            return False


def _state_of(answer: Any) -> str:
    return str(PipelineResult.runner_api_state_to_pipeline_state(answer.state))


def _asked(ask: Callable[[], Answer]) -> Answer:
    """What a job server answers.

    Raises:
        NoAnswerError: nothing, for now. ForgottenError: that it knows no such job. grpc.RpcError: an error of its own.
    """
    try:
        return ask()
    except grpc.RpcError as e:
        if isinstance(e, grpc.Call) and e.code() in UNHEARD:
            raise NoAnswerError(e.code().name) from e
        if isinstance(e, grpc.Call) and e.code() == grpc.StatusCode.NOT_FOUND:
            raise ForgottenError from e
        raise
