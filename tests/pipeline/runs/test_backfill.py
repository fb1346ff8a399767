"""Night after night over the same folder: what is embedded, recorded, left alone; and the newest view of it all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pipeline.runs.superfluous import prune_compacted
from tests.conftest import Run, photo
from tests.pipeline.runs.nights import PARTS, Nights, compact_nights

pytestmark = pytest.mark.whole


def test_three_nights(nights: Nights) -> None:
    bucket = nights.bucket
    for i in range(10):
        bucket.put(f"{i}.jpg", i)
    bucket.put("broken.jpg", None)
    bucket.put("far.jpg", 30)
    bucket.unreachable = {"far.jpg"}
    assert nights.night()["embedded"] == 10

    for i in range(5):
        bucket.put(f"new {i}.jpg", 10 + i)
    for i in range(3):
        bucket.put(f"{i}.jpg", 20 + i)
    for i in (3, 4):
        bucket.delete(f"{i}.jpg")
    for i in (5, 6, 7, 8):  # of local files, the time is part of the version
        bucket.touch(f"{i}.jpg")
    bucket.unreachable = set()
    counts = nights.night()
    assert [counts[part] for part in PARTS] == [15, 1, 1, 13, 0, 2, 5, 7, 1, 0, 0]

    bucket.put("broken.jpg", 31)
    bucket.put("3.jpg", 3)
    counts = nights.night()
    assert [counts[part] for part in PARTS] == [16, 14, 0, 2, 0, 0, 1, 1, 0, 0, 0]

    assert nights.night()["embedded"] == 0  # and a night without a change


def test_dead_letters_are_tried_again_when_asked(nights: Nights) -> None:
    nights.bucket.put("good.jpg", 1)
    nights.bucket.put("broken.jpg", None)
    assert nights.night()["failed"] == 1
    assert nights.night()["failed_before"] == 1
    assert nights.night(retry_dead_letters=True)["failed"] == 1


class RandomNights(RuleBasedStateMachine):
    """What people do to a bucket by day, and nights over it."""

    make: Callable[[], Nights]

    @initialize()
    def start(self) -> None:
        self.nights = type(self).make()
        self.compactions = 0
        self.nights.bucket.put("first.jpg", 0)

    @rule(name=st.sampled_from("abcdef"), picture=st.one_of(st.none(), st.integers(0, 39)))
    def put(self, name: str, picture: int | None) -> None:
        self.nights.bucket.put(f"{name}.jpg", picture)

    @rule(name=st.sampled_from("abcdef"))
    def delete(self, name: str) -> None:
        if f"{name}.jpg" in self.nights.bucket.pictures:
            self.nights.bucket.delete(f"{name}.jpg")

    @rule(names=st.sets(st.sampled_from("abcdef")))
    def cut_off(self, names: set[str]) -> None:
        self.nights.bucket.unreachable = {f"{name}.jpg" for name in names}

    @rule(retry=st.booleans())
    def night(self, retry: bool) -> None:
        self.nights.night(retry_dead_letters=retry)

    @precondition(lambda self: self.nights.output.exists())
    @rule(prune=st.booleans())
    def compact(self, prune: bool) -> None:
        self.compactions += 1
        compact_nights(self.nights, f"compacted-{self.compactions}")
        if prune:
            prune_compacted(str(self.nights.output))
            assert os.listdir(self.nights.output / "runs") == [f"compacted-{self.compactions}"]
            self.nights.bucket.forget()
        self.nights.check_latest()


def test_random_nights(tmp_path: Path, tiny_module: str, vector_of: Callable[[int], np.ndarray]) -> None:
    machines = iter(range(1000))

    class Machine(RandomNights):
        make = staticmethod(lambda: Nights(tmp_path / str(next(machines)), tiny_module, vector_of))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=6, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def test_times_and_limits(images: Path, run_pipeline: Run) -> None:
    for number, path in enumerate(sorted(images.iterdir())):
        os.utime(path, (1_000_000_000 + number * 86_400,) * 2)  # from 2001-09-09T01:46:40Z on
    counts = run_pipeline(input=str(images), since="2001-09-10", until="2001-09-13T01:46:40Z").manifest["counts"]
    assert (counts["listed"], counts["outside"], counts["embedded"]) == (12, 9, 3)
    counts = run_pipeline(input=str(images), limit=5, incremental=True).manifest["counts"]
    assert (counts["unchanged"], counts["over_limit"], counts["embedded"], counts["new"]) == (3, 4, 5, 5)
    counts = run_pipeline(input=str(images), limit=5, incremental=True).manifest["counts"]
    assert (counts["unchanged"], counts["over_limit"], counts["embedded"]) == (8, 0, 4)


def test_only_what_the_inputs_cover_can_be_found_missing(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    other = tmp_path / "other"
    other.mkdir()
    photo(30, 30).save(other / "x.jpg")
    run_pipeline(input=[str(images), str(other)])
    shutil.rmtree(other)
    counts = run_pipeline(input=str(images), incremental=True).manifest["counts"]
    assert (counts["unchanged"], counts["deleted"]) == (12, 0)
    for name in ("00.jpg", "01.jpg"):
        (images / name).unlink()
    assert run_pipeline(input=str(images / "*1.jpg"), incremental=True).manifest["counts"]["deleted"] == 1
    assert run_pipeline(input=str(images), incremental=True).manifest["counts"]["deleted"] == 1
