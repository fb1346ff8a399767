"""What Flink's REST API tells of a job, and what is made of an answer that is none."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from aiohttp import web
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_job_api_pb2

from pipeline.jobs.flink import FlinkJob, warn_of_slots
from tests.web import Site, body, serving

State = beam_job_api_pb2.JobState


class Flink:
    """A stand-in of the API. Attributes: jobs, as it tells them; asked, what is asked of them by PATCH."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def add(self, jid: str, state: str, start: int, finished: int = 0) -> None:
        tasks = {"finished": finished, "total": 70}
        self.jobs.append({"jid": jid, "name": "n", "state": state, "start-time": start, "tasks": tasks})

    async def overview(self, _: web.Request) -> web.Response:
        return web.json_response({"jobs": self.jobs})

    async def patch(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.raw_path}")
        return web.json_response({}, status=202)


@pytest.fixture
def flink() -> Flink:
    return Flink()


@pytest.fixture
def site(flink: Flink) -> Iterator[Site]:
    answers = {"/jobs/overview": flink.overview, "/jobs/new": flink.patch, "/overview": body(b'{"slots-total": 2}')}
    with serving(answers) as each:
        yield each


def job(site: Site, state: Any) -> FlinkJob:
    service = Mock(GetState=Mock(return_value=beam_job_api_pb2.JobStateEvent(state=state)))
    result = Mock(_job_id="n_uuid", _job_service=service, _message_stream=iter([]))
    return FlinkJob(result, "FlinkRunner", "n", "server:8099", site.url, ends_with_launcher=False)


def test_tasks_and_the_page_are_those_of_the_newest_job_of_the_name(flink: Flink, site: Site) -> None:
    flink.add("old", "FINISHED", 1, 70)
    flink.jobs.append({"jid": "other", "name": "m", "state": "RUNNING", "start-time": 9, "tasks": {}})
    at_work = job(site, State.RUNNING)
    assert at_work.details() == ""
    assert at_work.at == site.url
    flink.add("new", "RUNNING", 2, 31)
    assert at_work.details() == "31 of 70 tasks finished"
    assert at_work.describe()["at"] == f"{site.url}/#/job/running/new"


def test_a_job_is_cancelled_when_flink_says_so(flink: Flink, site: Site) -> None:
    """Beam's job server says so at once, and lets it go on."""
    flink.add("old", "CANCELED", 1)
    cancelled = job(site, State.CANCELLED)
    flink.add("new", "RUNNING", 2)
    assert cancelled.state() == "RUNNING"
    cancelled.cancel()
    assert flink.asked == ["PATCH /jobs/new?mode=cancel"]
    assert cancelled.state() == "CANCELLING"
    flink.jobs[-1]["state"] = "CANCELED"
    assert cancelled.state() == "CANCELLED"


def test_a_flink_out_of_reach_is_as_good_as_none(site: Site) -> None:
    unreachable = Site()
    unreachable.url = "http://127.0.0.1:9"
    assert job(unreachable, State.DONE).state() == "DONE"
    assert job(unreachable, State.RUNNING).details() == ""
    wrong = Site()
    wrong.url = f"{site.url}/nothing/here"
    assert job(wrong, State.RUNNING).details() == ""


@pytest.mark.parametrize(("asked", "said"), [(4, "--parallelism 4: Flink at {} has 2 slots"), (2, "")])
def test_too_few_slots_are_told_before_the_job_waits_for_them(
    asked: int, said: str, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_slots(PipelineOptions([f"--flink_master={site.url}", f"--parallelism={asked}"]))
    assert caplog.text.count("slots") == bool(said)
    assert said.format(site.url) in caplog.text


def test_a_master_that_does_not_answer_is_told(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_slots(PipelineOptions(["--flink_master=127.0.0.1:9"]))
    assert "--flink_master: Flink at http://127.0.0.1:9 does not answer here" in caplog.text
    warn_of_slots(PipelineOptions(["--flink_master=[local]"]))
    assert caplog.text.count("--flink_master") == 1
