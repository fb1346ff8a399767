"""What Flink itself tells of a job, by its REST API: its page, its tasks, and the slots of the cluster.

Beam's job server tells no more than that a batch job runs. The API is asked where `--flink_master` names it, and what
it does not answer is not known: it may be out of reach from here.
https://nightlies.apache.org/flink/flink-docs-release-1.20/docs/ops/rest_api/
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions
from apache_beam.runners.portability.portable_runner import PipelineResult

from pipeline.console.logs import logger
from pipeline.jobs.portable import PortableJob

REST_SECONDS = 5.0
REST_BYTES = 16 << 20


class FlinkJob(PortableJob):
    """A job of Flink's, by its job server and its REST API."""

    def __init__(
        self, result: PipelineResult, runner: str, name: str, server: str, master: str, *, ends_with_launcher: bool
    ):
        super().__init__(result, runner, name, server, at=master, ends_with_launcher=ends_with_launcher)
        self._master = master

    def details(self) -> str:
        """Such as: 31 of 70 tasks finished."""
        try:
            jobs = _get(self._master, "/jobs/overview")["jobs"]
            own = [job for job in jobs if job["name"] in (self.name, self.id)]
            found = max(own, key=lambda job: int(job["start-time"]))
            self.at = f"{self._master}/#/job/running/{found['jid']}"
            return f"{int(found['tasks']['finished']):,} of {int(found['tasks']['total']):,} tasks finished"
        except (OSError, ValueError, KeyError, TypeError) as e:
            logger.debug("Flink at %s: %s", self._master, e)
            return ""


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
        slots = int(_get(master, "/overview")["slots-total"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        logger.warning("--flink_master: Flink at %s does not answer here (%s); its job server may reach it", master, e)
        return
    if slots < asked:
        logger.warning(
            "--parallelism %d: Flink at %s has %d slots; unless TaskManagers come, the job waits for them, and fails "
            "after the cluster's slot.request.timeout (5 minutes by default)", asked, master, slots,
        )  # fmt: skip


def _get(master: str, path: str) -> Any:
    if not master.startswith(("http://", "https://")):
        raise ValueError(f"{master} is no URL of a web server")
    with urllib.request.build_opener().open(master + path, timeout=REST_SECONDS) as answer:
        return json.loads(answer.read(REST_BYTES))
