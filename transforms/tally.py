"""Counters of a run, twice: as Beam metrics for any runner, and on this machine for whoever watches a run.

The local runner gives its metrics only when it is done, so a display needs counters of its own. Workers in processes of
their own tell theirs in files of a folder that the process which gathers them has made.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apache_beam.metrics.metric import Metrics

NAMESPACE = "embed_images"
FAILED_BY = "failed_"  # and the class of what failed
FOLDER = "EMBED_IMAGES_TALLY"  # the variable by which workers of this machine know where to tell theirs
TELL_SECONDS = 0.5
_lock = threading.Lock()
_counts: Counter[str] = Counter()
_first: dict[str, float] = {}
_last: dict[str, float] = {}
_gathered: Path | None = None  # the folder of what other processes tell, in the one that gathers
_asked: int | None = None  # the process that has looked for such a folder: one that was forked from it looks anew


def count(name: str, amount: int = 1) -> None:
    """Adds to the counter `name`."""
    _counter(name).inc(amount)
    now = time.monotonic()
    with _lock:
        _counts[name] += amount
        _first.setdefault(name, now)
        _last[name] = now
    if _asked != os.getpid():
        _tell_where_asked()


def count_failed(error: str, number: int = 1) -> None:
    """Counts failures by their class when they are met; dead letters are written, and counted, later."""
    count(f"{FAILED_BY}{error}", number)


def distribute(name: str, value: int) -> None:
    """Adds a value to the distribution `name`, which is a Beam metric only."""
    _distribution(name).update(value)


@functools.cache
def _counter(name: str) -> Any:
    """Beam's, which takes as long to make as to count by."""
    return Metrics.counter(NAMESPACE, name)


@functools.cache
def _distribution(name: str) -> Any:
    return Metrics.distribution(NAMESPACE, name)


def counts() -> Counter[str]:
    """What was counted since `reset`, in this process and in those that it gathers from."""
    with _lock:
        summed = Counter(_counts)
    for told in _told():
        summed.update(told["counts"])
    return summed


def first_counted(name: str) -> float | None:
    """When `name` was first counted, on the clock of `time.monotonic`, which processes share; None when never."""
    return min((times[name] for times in (_first, *(each["first"] for each in _told())) if name in times), default=None)


def last_counted(name: str) -> float | None:
    """When it was last counted, likewise."""
    return max((times[name] for times in (_last, *(each["last"] for each in _told())) if name in times), default=None)


def reset() -> None:
    """Forgets what was counted in this process."""
    with _lock:
        _counts.clear()
        _first.clear()
        _last.clear()


@contextmanager
def gathering() -> Iterator[None]:
    """Adds what workers count that are started meanwhile, in processes of this machine."""
    global _gathered
    with tempfile.TemporaryDirectory(prefix="embed-images-tally-", ignore_cleanup_errors=True) as folder:
        os.environ[FOLDER] = folder
        _gathered = Path(folder)
        try:
            yield
        finally:
            del os.environ[FOLDER]
            _gathered = None


def _told() -> list[dict[str, dict[str, float]]]:
    found = []
    for file in _gathered.glob("*.json") if _gathered is not None else ():
        with contextlib.suppress(OSError, ValueError):  # of one that is gone by now
            found.append(json.loads(file.read_text()))
    return found


def _tell_where_asked() -> None:
    """Begins to tell what this process counts, when it is the worker of one that gathers."""
    global _asked
    with _lock:
        if _asked == os.getpid():
            return
        _asked = os.getpid()
    if _gathered is None and (folder := os.environ.get(FOLDER)):
        file = Path(folder) / f"{os.getpid()}.json"
        threading.Thread(target=_tell, args=(file,), name="tally", daemon=True).start()


def _tell(file: Path) -> None:
    """Until the process ends, or the folder is gone."""
    told: Counter[str] = Counter()
    while True:
        with _lock:
            now, first, last = Counter(_counts), dict(_first), dict(_last)
        if now != told:
            told = now
            try:
                whole = file.with_suffix(".part")
                whole.write_text(json.dumps({"counts": now, "first": first, "last": last}))
                whole.replace(file)
            except OSError:
                return
        time.sleep(TELL_SECONDS)
