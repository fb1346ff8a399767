"""What Flink itself tells of a job, by its REST API: its page, its tasks, and the slots of the cluster.

Beam's job server tells no more than that a batch job runs. The API is asked where `--flink_master` names it, and what
it does not answer is not known: it may be out of reach from here.
https://nightlies.apache.org/flink/flink-docs-release-1.20/docs/ops/rest_api/
"""

from __future__ import annotations

import contextlib
import json
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions
from apache_beam.runners.portability.portable_runner import PipelineResult
from apache_beam.runners.runner import PipelineState

from pipeline.console.logs import logger
from pipeline.jobs.job import has_ended
from pipeline.jobs.portable import PortableJob

REST_SECONDS = 5.0
REST_BYTES = 16 << 20
NOT_TOLD = (OSError, HTTPException, ValueError, KeyError, TypeError)  # what an answer that is none raises
# https://nightlies.apache.org/flink/flink-docs-release-1.20/docs/internals/job_scheduling/
ENDED = ("FINISHED", "FAILED", "CANCELED")


class FlinkJob(PortableJob):
    """A job of Flink's, by its job server and its REST API."""

    def __init__(
        self, result: PipelineResult, runner: str, name: str, server: str, master: str, *, ends_with_launcher: bool
    ):
        super().__init__(result, runner, name, server, at=master, ends_with_launcher=ends_with_launcher)
        self._master = master
        self._is_cancelled = False
        self._earlier = {job["jid"] for job in self._of_this_name() if job["state"] in ENDED}

    def details(self) -> str:
        """Such as: 31 of 70 tasks finished."""
        if (found := self._found()) is None:
            return ""
        tasks = found["tasks"]
        return f"{int(tasks['finished']):,} of {int(tasks['total']):,} tasks finished"

    def state(self) -> str:
        """Flink's own of a job that it tells to be at work, which its job server may have forgotten to cancel."""
        state = super().state()
        if has_ended(state) and (found := self._found()) is not None and found["state"] not in ENDED:
            return PipelineState.CANCELLING if self._is_cancelled else PipelineState.RUNNING
        return state

    def cancel(self) -> None:
        """By Flink itself: Beam's job server (2.61) gives up its own waiting for a job, and lets that go on."""
        self._is_cancelled = True
        if (found := self._found()) is not None:
            with contextlib.suppress(*NOT_TOLD):  # its end is waited for all the same
                _ask(self._master, f"/jobs/{found['jid']}?mode=cancel", "PATCH")
        super().cancel()

    def _found(self) -> dict[str, Any] | None:
        """What Flink tells of it; None when it does not, or not yet."""
        own = [job for job in self._of_this_name() if job["jid"] not in self._earlier]
        found = max(own, key=lambda job: int(job["start-time"]), default=None)
        if found is not None:
            self.at = f"{self._master}/#/job/running/{found['jid']}"
        return found

    def _of_this_name(self) -> list[dict[str, Any]]:
        """Jobs of its name, of earlier attempts, too: the job server does not tell Flink's own id of one."""
        try:
            jobs = _ask(self._master, "/jobs/overview")["jobs"]
            return [job for job in jobs if job["name"] in (self.name, self.id)]
        except NOT_TOLD as e:
            logger.debug("Flink at %s: %s", self._master, e)
            return []


def master_of(options: PipelineOptions) -> str:
    """URL of Flink's REST API; "" where none is named."""
    master = str(options.view_as(FlinkRunnerOptions).flink_master or "")
    if not master or master.startswith("["):  # [local] and [auto] are names of Beam's
        return ""
    return (master if "://" in master else f"http://{master}").rstrip("/")


def warn_of_slots(options: PipelineOptions) -> None:
    """Says when a cluster has fewer slots than a job asks for and would wait for, or when it does not answer."""
    if not (master := master_of(options)):
        return
    asked = int(options.get_all_options().get("parallelism") or 0)
    try:
        slots = int(_ask(master, "/overview")["slots-total"])
    except NOT_TOLD as e:
        logger.warning("--flink_master: Flink at %s does not answer here (%s); its job server may reach it", master, e)
        return
    if slots < asked:
        logger.warning(
            "--parallelism %d: Flink at %s has %d slots; unless TaskManagers come, the job waits for them, and fails "
            "after the cluster's slot.request.timeout (5 minutes by default)", asked, master, slots,
        )  # fmt: skip


def _ask(master: str, path: str, method: str = "GET") -> Any:
    parts = urlsplit(master)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{master} is no URL of a web server")
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    with contextlib.closing(connect(parts.netloc, timeout=REST_SECONDS)) as connection:
        connection.request(method, parts.path + path)
        answer = connection.getresponse()
        if answer.status >= 400:
            raise OSError(f"{answer.status} {answer.reason}")
        return json.loads(answer.read(REST_BYTES))
