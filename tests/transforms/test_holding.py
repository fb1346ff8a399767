"""A job that says that it is at work: through its bundles, and no longer."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import apache_beam as beam
import pytest

from tests.waiting import wait_until
from transforms.holding import HoldLease, SignsOfLife
from transforms.publishing import Plan, PublishRun
from transforms.records import layout, leases
from transforms.records.leases import Lease
from transforms.stores import storage

NOW = datetime.now(UTC)


@pytest.fixture
def lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lease:
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.02)
    held = Lease(str(tmp_path), "r", 1, "a" * 32)
    note = {"identity": {}, "generation": {}}
    storage.write_bytes(layout.attempt_file(held.output, held.run_id, held.attempt), json.dumps(note).encode())
    leases.write(held.uri, {"attempt": held.attempt, "host": "h", "pid": 1, "here": False, "since": time.time()})
    return held


def renewed(lease: Lease) -> float:
    return float(json.loads(Path(lease.uri).read_text())["renewed"])


def renewers() -> int:
    return sum(thread.name == "lease" for thread in threading.enumerate())


def test_a_lease_is_renewed_while_a_bundle_is_open(lease: Lease) -> None:
    signs = SignsOfLife(lease)
    signs.begin()
    signs.begin()
    first = renewed(lease)
    wait_until(lambda: renewed(lease) > first)
    signs.end()
    second = renewed(lease)
    wait_until(lambda: renewed(lease) > second)
    signs.end()
    wait_until(lambda: renewers() == 0)
    assert not signs.lost


def test_many_short_bundles_ask_for_the_lease_as_often_as_a_long_one(
    lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Lease] = []
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 3600.0)
    monkeypatch.setattr(leases, "renew", lambda lease: asked.append(lease) or True)
    signs = SignsOfLife(lease)
    signs.begin()
    wait_until(lambda: len(asked) == 1)
    signs.end()
    for _ in range(100):
        signs.begin()
        signs.end()
    wait_until(lambda: renewers() == 0)
    assert len(asked) == 1


def test_elements_pass_unchanged_and_nothing_is_added_without_a_lease(lease: Lease) -> None:
    def check(found: list[int]) -> None:
        assert sorted(found) == [1, 2, 3]

    with beam.Pipeline("FnApiRunner") as pipeline:
        numbers = pipeline | beam.Create([1, 2, 3])
        assert numbers | "Without" >> HoldLease(None) is numbers
        held = numbers | "With" >> HoldLease(lease)
        _ = held | beam.combiners.ToList() | beam.Map(check)
        assert held.element_type is int


def test_a_job_that_has_lost_its_lease_ends(lease: Lease) -> None:
    """A bundle that goes on raises; so a job that its runner has forgotten to cancel does not go on for hours."""
    removed = threading.Event()

    def lose(element: int) -> int:
        if not removed.is_set():
            leases.write(lease._replace(number=2).uri, json.loads(Path(lease.uri).read_text()))  # another's
            removed.set()
            time.sleep(0.3)
        return element

    pipeline = beam.Pipeline("FnApiRunner")
    numbers = pipeline | beam.Create(range(50), reshuffle=False)
    _ = numbers | beam.Map(lose) | HoldLease(lease)
    with pytest.raises(Exception, match="the run r is no longer this job's"):
        pipeline.run()


@pytest.mark.parametrize("step", ["_plan", "_finish"])
def test_a_job_that_has_lost_its_lease_publishes_nothing(lease: Lease, step: str) -> None:
    """Asked before a run is claimed, and last before it is said that it is whole."""
    publish = PublishRun(lease.output, lease.run_id, "none", 0.5, {}, lease.attempt, lease=lease)
    arguments = {"_plan": ([], {}), "_finish": (Plan(layout.run_folder(lease.output, "r"), "", [], {}, NOW), [])}
    leases.write(lease._replace(number=2).uri, json.loads(Path(lease.uri).read_text()))
    with pytest.raises(RuntimeError, match="the run r is no longer this job's"):
        getattr(publish, step)(None, *arguments[step])
    assert not Path(lease.output, "runs").exists()
    Path(lease._replace(number=2).uri).unlink()
    getattr(publish, step)(None, *arguments[step])
    assert Path(lease.output, "runs/r/run.json").exists()


def test_a_step_that_is_run_again_after_the_end_changes_nothing(lease: Lease) -> None:
    """The lease is gone by then, with all of staging."""
    publish = PublishRun(lease.output, lease.run_id, "none", 0.5, {}, lease.attempt, lease=lease)
    plan = Plan(layout.run_folder(lease.output, "r"), "", [], {}, NOW)
    for _ in range(2):
        publish._finish(None, plan, [])
        assert not Path(lease.uri).exists()
    assert Path(lease.output, "runs/r/_SUCCESS").exists()
