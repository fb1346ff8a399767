"""Garbage collection of a process that lives for one pipeline."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

THRESHOLD = gc.get_threshold()  # Python's own
STARTING = 200_000  # objects more than before; an import of Beam makes about as many, and no garbage


def seldom() -> None:
    """Looks for garbage seldom while a program starts; until `frozen`, if that follows."""
    gc.set_threshold(STARTING, *THRESHOLD[1:])


@contextmanager
def frozen() -> Iterator[None]:
    """What there is by now is not looked through for garbage meanwhile, which took a quarter of a listing.

    Every row of a listing is an object that the collector counts, and so has it look at all others again and again.
    """
    if gc.get_freeze_count():  # somebody else has seen to it
        yield
        return
    gc.freeze()
    gc.set_threshold(*THRESHOLD)
    try:
        yield
    finally:
        gc.unfreeze()
