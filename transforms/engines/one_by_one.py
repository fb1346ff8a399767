"""Images one by one, each by one of some threads: how engines are fastest on the cores of a CPU.

The tensors of one image stay in a core's cache, and no core waits for another one at every layer.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

import numpy as np

from transforms.engines.engine import Images, Vectors


class OneByOne:
    """An engine of as many threads as there are `requests`.

    Args:
        requests: what embeds one image, uint8 [1, height, width, 3], to float32 [1, features]. It holds the tensors of
            one call, and so serves one thread at a time.
    """

    def __init__(self, requests: Iterable[Callable[[np.ndarray], np.ndarray]], name: str):
        self._idle: queue.SimpleQueue[Callable[[np.ndarray], np.ndarray]] = queue.SimpleQueue()
        for request in requests:
            self._idle.put(request)
        self._threads = ThreadPoolExecutor(self._idle.qsize(), thread_name_prefix=name)

    def begin(self, images: Images) -> Vectors:
        return _Begun([self._threads.submit(self._embed, image[None]) for image in images])

    def __call__(self, images: Images) -> np.ndarray:
        return self.begin(images).result()

    def _embed(self, image: np.ndarray) -> np.ndarray:
        request = self._idle.get()
        try:
            return request(image)
        finally:
            self._idle.put(request)


class _Begun:
    """`Vectors` of some images."""

    def __init__(self, each: Sequence[Future[np.ndarray]]):
        self._each = each

    def result(self) -> np.ndarray:
        wait(self._each)  # to be woken once, and not for each
        return np.concatenate([one.result() for one in self._each])

    def cancel(self) -> None:
        for one in self._each:
            one.cancel()
