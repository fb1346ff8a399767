"""A terminal of 80 columns and 24 lines, in memory: what a person sees of what a program writes to it."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pyte

from tests.waiting import wait_until

COLUMNS, LINES = 80, 24


class Terminal:
    """Attributes:
    stream: its end for a program.
    raw: all that was written to it.
    """

    def __init__(self, leader: int, follower: int):
        self.follower = follower
        self.stream: TextIO = os.fdopen(os.dup(follower), "w", buffering=1, encoding="utf-8")
        self.raw = b""
        self.seen: list[str] = []  # lines of screens, once each
        self._screen = pyte.Screen(COLUMNS, LINES)
        self._feed = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self._leader = leader
        threading.Thread(target=self._read, daemon=True).start()

    def lines(self) -> list[str]:
        """What stands on the screen, but for empty lines."""
        with self._lock:
            return [line.rstrip() for line in self._screen.display if line.strip()]

    def coloured(self) -> list[list[tuple[str, str, bool]]]:
        """The lines that are not empty, as letters with their colour, by name or as six digits, and whether bold."""
        with self._lock:
            rows = [row for row, line in enumerate(self._screen.display) if line.strip()]
            cells = [[self._screen.buffer[row][column] for column in range(COLUMNS)] for row in rows]
        return [[(cell.data, str(cell.fg), bool(cell.bold)) for cell in row] for row in cells]

    def colour_of(self, words: str) -> str:
        """Of the first letter of words on the screen."""
        with self._lock:
            for row, line in enumerate(self._screen.display):
                if words in line:
                    return str(self._screen.buffer[row][line.index(words)].fg)
        raise AssertionError(f"{words!r} is not on the screen")

    def wait_for(self, words: str) -> None:
        wait_until(lambda: any(words in line for line in self.lines()))

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._leader, 1 << 16)
            except OSError:  # nobody writes to it any more
                return
            with self._lock:
                self.raw += data
                self._feed.feed(data)
                now = [line.rstrip() for line in self._screen.display if line.strip()]
                self.seen += [line for line in now if line not in self.seen]


@contextmanager
def terminal() -> Iterator[Terminal]:
    leader, follower = os.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    each = Terminal(leader, follower)
    try:
        yield each
    finally:
        each.stream.close()
        os.close(follower)
        os.close(leader)
