"""The progress line."""

from __future__ import annotations

import pytest

from pipeline.console.progress import line_of_this_process, progress_line
from transforms import tally


def test_the_progress_line_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr(tally.time, "monotonic", lambda: float(next(clock)))
    tally.reset()
    assert line_of_this_process() == "0 images listed"
    tally.count("objects_listed", 5000)
    tally.count("images_selected")
    tally.count("images_embedded", 1190)
    tally.count("images_failed", 10)
    first = tally.first_counted("images_selected")
    assert first is not None
    line = progress_line(tally.counts(), first, now=first + 10)
    assert line == "1,200 of 5,000 images, 10 failed, 120.0 images/s, 0:32 left"
    tally.reset()
