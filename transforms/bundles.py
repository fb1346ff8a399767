"""What a bundle gives when it ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import GlobalWindows


def at_the_end(results: Iterable[Any]) -> Iterator[Any]:
    """Results as a `finish_bundle` has to give them: with the one window that there is."""
    for result in results:
        if isinstance(result, TaggedOutput):
            yield TaggedOutput(result.tag, GlobalWindows.windowed_value_at_end_of_window(result.value))
        else:
            yield GlobalWindows.windowed_value_at_end_of_window(result)
