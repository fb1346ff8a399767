"""Calls one after the other, in a thread: how engines whose calls use all cores begin with images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from transforms.engines.engine import Images, Vectors


class CallByCall(ABC):
    """An engine that has a call, and begins with images by one in a thread of its own."""

    def __init__(self, name: str):
        self._calls = ThreadPoolExecutor(1, thread_name_prefix=name)

    def begin(self, images: Images) -> Vectors:
        return self._calls.submit(self, images)

    @abstractmethod
    def __call__(self, images: Images) -> np.ndarray:
        """As that of an `Engine`."""
