"""Elements of a pipeline of the local runner, brought into the test's process."""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import Any

import apache_beam as beam

_collected: dict[str, list[Any]] = defaultdict(list)


class Collect(beam.PTransform[Any, Any]):
    """Appends what flows in to `elements`; a list given to Beam directly would be pickled and copied."""

    def __init__(self) -> None:
        super().__init__()
        self._key = uuid.uuid4().hex

    @property
    def elements(self) -> list[Any]:
        return _collected[self._key]

    def expand(self, pcoll: Any) -> Any:
        return pcoll | beam.Map(_collect, self._key)


def _collect(element: Any, key: str) -> None:
    _collected[key].append(element)
