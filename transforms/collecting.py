"""Garbage collection of a process that lives for one pipeline."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def frozen() -> Iterator[None]:
    """What there is by now is not looked through for garbage meanwhile, which took a quarter of a listing.

    Every row of a listing is an object that the collector counts, and so has it look at all others again and again.
    """
    if gc.get_freeze_count():  # somebody else has seen to it
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
