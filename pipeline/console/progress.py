"""The progress of a run: a live bar on a terminal, else a line every 10 s."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pipeline.console.logs import logger
from transforms import tally

LINE_SECONDS = 10.0
BAR_SECONDS = 0.25


@contextmanager
def progress(line: Callable[[], str]) -> Iterator[None]:
    """Shows what `line` gives for as long as the block runs."""
    finished = threading.Event()
    target = _show_bar if sys.stderr.isatty() else _show_lines
    watcher = threading.Thread(target=target, args=(line, finished), name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _show_lines(line: Callable[[], str], finished: threading.Event) -> None:
    while not finished.wait(LINE_SECONDS):
        logger.info(line())


def _show_bar(line: Callable[[], str], finished: threading.Event) -> None:
    from rich.console import Console
    from rich.status import Status

    with Status("", console=Console(file=sys.stderr)) as status:
        while not finished.wait(BAR_SECONDS):
            status.update(line())


def line_of_this_process() -> str:
    """Of a run that works in this process."""
    return progress_line(tally.counts(), tally.first_counted("images_selected"), time.monotonic())


def progress_line(counts: Mapping[str, int], first: float | None, now: float) -> str:
    """Such as: 1,200 of 5,000 images, 3 failed, 104.2 images/s, 0:36 left.

    Args:
        counts: of `tally`, of which those that were not counted may be missing.
        first, now: when images were first selected, None for not yet, and the time, on one clock, in seconds.
    """
    listed, failed = counts.get("objects_listed", 0), counts.get("images_failed", 0)
    done = counts.get("images_embedded", 0) + failed
    if first is None:
        return f"{listed:,} images listed"
    line = f"{done:,} of {listed:,} images"
    if failed:
        line += f", {failed:,} failed"
    rate = done / max(now - first, 1e-9)
    if done:
        minutes, seconds = divmod(round(max(listed - done, 0) / rate), 60)
        line += f", {rate:,.1f} images/s, {minutes}:{seconds:02d} left"
    return line
