"""What an engine is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

Images = Sequence[np.ndarray] | np.ndarray


class Engine(Protocol):
    """Called by several threads of a process. A vector does not depend on what else is in its call."""

    def __call__(self, images: Images) -> np.ndarray:
        """uint8 [height, width, 3] each in, one or more; float32 [len(images), features] out."""
        ...
