"""What an engine is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

Images = Sequence[np.ndarray] | np.ndarray


class Vectors(Protocol):
    """Vectors that are on their way, as a `Future` has them."""

    def result(self) -> np.ndarray:
        """Waits for them; raises what embedding has raised."""
        ...

    def cancel(self) -> object:
        """Nobody waits for them any more: what is not begun yet is not begun."""
        ...


class Engine(Protocol):
    """Called by several threads of a process. A vector does not depend on what else is in its call."""

    def begin(self, images: Images) -> Vectors:
        """As a call, without waiting for the vectors: what is begun meanwhile comes behind it."""
        ...

    def __call__(self, images: Images) -> np.ndarray:
        """uint8 [height, width, 3] each in, one or more; float32 [len(images), features] out."""
        ...
