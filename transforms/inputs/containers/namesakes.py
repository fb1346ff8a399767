"""Members of the same name: each gets one of its own.

The first keeps the name. The next ones get `#2`, `#3`, … behind it, the first of these that no member before had. So a
container gives the same names every night, and a member that is appended changes none of those before it.
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_left

import numpy as np

RECENT = 1 << 16


class Namesakes:
    """Which names were given. It holds 8 bytes of each: two names of the same 8 are taken for one, and get a `#2` more.

    A set of Python's numbers would be 70 bytes a name.
    """

    def __init__(self) -> None:
        self._sorted = array("Q")
        self._recent: set[int] = set()
        self._reached: dict[str, int] = {}  # the numbers up to which names are given, so that they are not tried again

    def named(self, name: str) -> str:
        """The name that the next member of `name` gets."""
        if self._is_new(name):
            return name
        number = self._reached.get(name, 1) + 1
        while not self._is_new(f"{name}#{number}"):
            number += 1
        if len(self._reached) == RECENT:
            self._reached.clear()
        self._reached[name] = number
        return f"{name}#{number}"

    def _is_new(self, name: str) -> bool:
        digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
        key = int.from_bytes(digest, "big")
        place = bisect_left(self._sorted, key)
        if key in self._recent or (place < len(self._sorted) and self._sorted[place] == key):
            return False
        self._recent.add(key)
        if len(self._recent) == RECENT:
            recent = np.fromiter(self._recent, np.uint64, RECENT)
            merged = np.sort(np.concatenate([np.frombuffer(self._sorted, np.uint64), recent]))
            self._sorted = array("Q", merged.tobytes())
            self._recent.clear()
        return True
