"""What is not looked through for garbage while a pipeline runs."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from transforms.collecting import frozen, seldom


class Knot:
    """Garbage that only the collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    before = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_there_is_left_out_meanwhile_and_what_comes_is_not() -> None:
    old = Knot()
    there = weakref.ref(old)
    with frozen():
        del old
        new = Knot()
        comes = weakref.ref(new)
        del new
        gc.collect()
        assert comes() is None
        assert there() is not None
    gc.collect()
    assert there() is None


def test_who_has_frozen_for_themselves_finds_it_so_afterwards() -> None:
    gc.freeze()
    count = gc.get_freeze_count()
    with frozen():
        pass
    assert gc.get_freeze_count() > count / 2 > 0  # some may have gone meanwhile, as all objects do


def test_it_ends_when_the_pipeline_fails() -> None:
    with pytest.raises(ValueError, match="failed"), frozen():
        raise ValueError("failed")
    assert gc.get_freeze_count() == 0


def test_a_pipeline_is_looked_through_as_often_as_ever() -> None:
    before = gc.get_threshold()
    seldom()
    assert gc.get_threshold() > before
    with frozen():
        assert gc.get_threshold() == before
