"""Counters of a run, twice: as Beam metrics for any runner, and in this process for the progress line.

The local runner gives its metrics only when it is done, so a progress line needs counters of its own.
"""

from __future__ import annotations

import threading
import time
from collections import Counter

from apache_beam.metrics.metric import Metrics

NAMESPACE = "embed_images"
_lock = threading.Lock()
_counts: Counter[str] = Counter()
_first: dict[str, float] = {}
_last: dict[str, float] = {}


def count(name: str, amount: int = 1) -> None:
    """Adds to the counter `name`."""
    Metrics.counter(NAMESPACE, name).inc(amount)
    now = time.monotonic()
    with _lock:
        _counts[name] += amount
        _first.setdefault(name, now)
        _last[name] = now


def distribute(name: str, value: int) -> None:
    """Adds a value to the distribution `name`, which is a Beam metric only."""
    Metrics.distribution(NAMESPACE, name).update(value)


def counts() -> Counter[str]:
    """What was counted in this process since `reset`."""
    with _lock:
        return Counter(_counts)


def first_counted(name: str) -> float | None:
    """When `name` was first counted, on the clock of `time.monotonic`; None when never."""
    return _first.get(name)


def last_counted(name: str) -> float | None:
    return _last.get(name)


def reset() -> None:
    with _lock:
        _counts.clear()
        _first.clear()
        _last.clear()
