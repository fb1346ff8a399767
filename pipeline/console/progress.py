"""The progress of a run that works in this process: a live bar on a terminal, else a line every 10 s."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.console.logs import logger
from transforms import tally

LINE_SECONDS = 10.0
BAR_SECONDS = 0.25


@contextmanager
def progress() -> Iterator[None]:
    """Shows progress for as long as the block runs."""
    finished = threading.Event()
    target = _show_bar if sys.stderr.isatty() else _show_lines
    watcher = threading.Thread(target=target, args=(finished,), name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _show_lines(finished: threading.Event) -> None:
    while not finished.wait(LINE_SECONDS):
        logger.info(progress_line())


def _show_bar(finished: threading.Event) -> None:
    from rich.console import Console
    from rich.status import Status

    with Status("", console=Console(file=sys.stderr)) as status:
        while not finished.wait(BAR_SECONDS):
            status.update(progress_line())


def progress_line(now: float | None = None) -> str:
    """Such as: 1,200 of 5,000 images, 3 failed, 104.2 images/s, 0:36 left."""
    counts, first = tally.counts(), tally.first_counted("images_selected")
    listed, failed = counts["objects_listed"], counts["images_failed"]
    done = counts["images_embedded"] + failed
    if first is None:
        return f"{listed:,} images listed"
    line = f"{done:,} of {listed:,} images"
    if failed:
        line += f", {failed:,} failed"
    rate = done / max((now or time.monotonic()) - first, 1e-9)
    if done:
        minutes, seconds = divmod(round(max(listed - done, 0) / rate), 60)
        line += f", {rate:,.1f} images/s, {minutes}:{seconds:02d} left"
    return line
