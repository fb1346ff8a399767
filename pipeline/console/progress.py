"""The progress of what takes long: a display on a terminal, else a line every 10 s, as text or as JSON; or nothing."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from pipeline.console import logs, terminal
from pipeline.console.pace import NOW_SECONDS, Pace
from pipeline.console.sight import Sight, fields_of, line_of

LINE_SECONDS = 10.0
LOOK_SECONDS = 0.25
WAYS = ("none", "plain", "rich", "json")

_way = ""


def choose(way: str | None) -> None:
    """How this process shows progress: one of `WAYS`; None for the one that suits its error stream."""
    global _way
    _way = way or ""


def chosen() -> str:
    """One of `WAYS`. A display is for a terminal, where native libraries do not write between its lines; else lines."""
    if _way in ("none", "json"):
        return _way
    if logs.is_json():
        return "json"
    is_asked = _way == "rich" or (not _way and not logs.is_verbose())
    return "rich" if is_asked and terminal.is_terminal(sys.stderr) else "plain"


@contextmanager
def progress(look: Callable[[], Sight], window: float = NOW_SECONDS) -> Iterator[None]:
    """Shows what `look` gives for as long as the block runs; it is asked a few times a second.

    Args:
        window: seconds over which it is said how fast it is now.
    """
    finished, pace = threading.Event(), Pace(window)

    def noted() -> Sight:
        sight = look()
        pace.note(time.monotonic(), sight.first, sight.done, sight.counts.get("bytes_read", 0))
        return sight

    show = _show_display if chosen() == "rich" else _show_lines
    watcher = threading.Thread(target=show, args=(noted, pace, finished), name="progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _show_lines(look: Callable[[], Sight], pace: Pace, finished: threading.Event) -> None:
    due = time.monotonic() + LINE_SECONDS
    while not finished.wait(LOOK_SECONDS):
        sight = look()
        if time.monotonic() < due:
            continue
        due = time.monotonic() + LINE_SECONDS
        if chosen() != "none" and (line := line_of(sight, pace)):
            _say(line, sight, pace)


def _say(line: str, sight: Sight, pace: Pace) -> None:
    extra = {"event": "progress", "figures": fields_of(sight, pace), "json": chosen() == "json"}
    logs.logger.log(logging.INFO, "%s", line, extra=extra)


def _show_display(look: Callable[[], Sight], pace: Pace, finished: threading.Event) -> None:
    from pipeline.console.live import Display

    with suppress(OSError, ValueError):  # of a terminal that is gone
        Display(look, pace).show(finished)
