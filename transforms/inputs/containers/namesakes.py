"""Members of the same name: each gets one of its own.

The first keeps the name. The next ones get `#2`, `#3`, … behind it, the first of these that no member before had. So a
container gives the same names every night, and a member that is appended changes none of those before it.
"""

from __future__ import annotations

import hashlib

import numpy as np

RECENT = 1 << 16


class Namesakes:
    """Which names were given. It holds 8 bytes of each: two names of the same 8 are taken for one, and get a `#2` more.

    A set of Python's numbers would be 70 bytes a name.
    """

    def __init__(self) -> None:
        self._sorted = np.empty(0, np.uint64)
        self._recent: set[int] = set()

    def named(self, name: str) -> str:
        """The name that the next member of `name` gets."""
        given, number = name, 1
        while not self._is_new(given):
            number += 1
            given = f"{name}#{number}"
        return given

    def _is_new(self, name: str) -> bool:
        digest = hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
        key = int.from_bytes(digest, "big")
        place = int(np.searchsorted(self._sorted, np.uint64(key)))
        if key in self._recent or (place < len(self._sorted) and int(self._sorted[place]) == key):
            return False
        self._recent.add(key)
        if len(self._recent) == RECENT:
            recent = np.fromiter(self._recent, np.uint64, RECENT)
            self._sorted = np.sort(np.concatenate([self._sorted, recent]))
            self._recent.clear()
        return True
