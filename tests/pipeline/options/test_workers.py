"""How many processes work on one machine."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.options.config import RunConfig, make_config
from pipeline.options.workers import spread
from tests.conftest import Run


def config(beam_args: list[str], **given: Any) -> RunConfig:
    return make_config({"input": "a", "output": "b", **given}, beam_args)


@pytest.mark.parametrize(("cores", "processes", "threads"), [(17, 3, 6), (32, 4, 8), (64, 8, 8), (96, 12, 8)])
def test_many_cores_are_shared_by_processes(
    monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, threads: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    given = config(["--runner=DirectRunner"])
    workers = (f"--direct_num_workers={processes}", "--direct_running_mode=multi_processing")
    assert spread(given) == replace(given, beam_args=(*given.beam_args, *workers), threads=threads)
    assert processes * threads >= cores


@pytest.mark.parametrize(
    ("cores", "beam_args", "threads"),
    [
        (16, [], 0),
        (64, [], 12),
        (64, ["--direct_num_workers=2"], 0),
        (64, ["--direct_running_mode", "multi_threading"], 0),
        (64, ["--runner", "PrismRunner"], 0),
        (64, ["--runner=FlinkRunner"], 0),
    ],
)
def test_what_is_said_is_left_as_it_is(
    monkeypatch: pytest.MonkeyPatch, cores: int, beam_args: list[str], threads: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    given = config(beam_args, threads=threads)
    assert spread(given) is given


@pytest.mark.whole
def test_a_run_on_many_cores_embeds_every_image(
    images: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 17)
    caplog.set_level("INFO", "embed_images")
    report = run_pipeline(input=str(images), engine="litert")
    assert report.manifest["counts"]["embedded"] == 12
    assert "--direct_num_workers=3 --direct_running_mode=multi_processing, of 6 threads each" in caplog.text
