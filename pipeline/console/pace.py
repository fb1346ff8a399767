"""How fast a run is, now and on the whole, and how long it will take."""

from __future__ import annotations

from collections import deque

NOW_SECONDS = 15.0
LEAST_SECONDS = 3.0  # of work, and this many images, before a time left means something
LEAST_IMAGES = 16


class Pace:
    """Of counts that are noted from time to time, on one clock.

    Args:
        window: seconds that "now" is; longer where counts come in lumps, as of a runner that is polled.
    """

    def __init__(self, window: float = NOW_SECONDS):
        self._window = window
        self._noted: deque[tuple[float, int, int]] = deque()
        self._first: float | None = None

    def note(self, now: float, first: float | None, images: int, read: int) -> None:
        """
        Args:
            first: when the first image was selected; None for not yet.
            images: done by now. read: bytes, likewise.
        """
        if first is None:
            return
        if not self._noted:
            self._noted.append((first, 0, 0))
        self._first = first
        self._noted.append((now, images, read))
        while len(self._noted) > 2 and self._noted[1][0] <= now - self._window:
            self._noted.popleft()

    @property
    def images_now(self) -> float:
        """Images a second, lately."""
        return self._lately(1)

    @property
    def bytes_now(self) -> float:
        """Bytes a second that were read lately."""
        return self._lately(2)

    @property
    def images_on_the_whole(self) -> float:
        """Images a second since the first was selected."""
        if self._first is None:
            return 0.0
        now, images, _ = self._noted[-1]
        return images / max(now - self._first, 1e-9)

    def seconds_left(self, remaining: int) -> float | None:
        """At the pace of now; None when nothing can be said."""
        if self._first is None or remaining <= 0:
            return None
        now, images, _ = self._noted[-1]
        if now - self._first < LEAST_SECONDS or images < LEAST_IMAGES or self.images_now <= 0:
            return None
        return remaining / self.images_now

    def _lately(self, which: int) -> float:
        if len(self._noted) < 2:
            return 0.0
        first, last = self._noted[0], self._noted[-1]
        return max(float(last[which] - first[which]), 0.0) / max(last[0] - first[0], 1e-9)
