"""Mutations of one small file of each kind, through the decoder: python -m tests.transforms.images.fuzzing --seconds 60

Ends with status 0 when each gave pixels or an ImageError, in time and within memory. A number names a mutation and
makes it again: --first N --count 1. What crashes, or does not end in time, is the one whose number --progress holds.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import logging
import os
import resource
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from tests.transforms.images.truth import CASES
from transforms.images.decoding import ImageError, configure_pillow, decode_image

SECONDS_OF_ONE, BYTES_OF_ONE = 20.0, 2 << 30
MOST_PIXELS = 4_000_000
SIZE = (32, 32)
NUMBERS = (b"\0", b"\1", b"\x7f", b"\x80", b"\xff", b"\xff\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0")


def mutated(number: int) -> bytes:
    """The file of a number: up to eight changes of bytes, blocks and lengths."""
    random = np.random.default_rng(number)
    data = bytearray(CASES[number % len(CASES)].data)
    # Headers decide most, so half of the changes are there.
    for _ in range(random.integers(1, 9)):
        reach = min(len(data), 128) if random.random() < 0.5 else len(data)
        at = int(random.integers(0, reach))
        length = int(random.integers(1, 17))
        change = random.integers(0, 7)
        if change == 0:
            data[at] ^= 1 << int(random.integers(0, 8))
        elif change == 1:
            data[at] = int(random.integers(0, 256))
        elif change == 2:
            number_in = NUMBERS[random.integers(0, len(NUMBERS))]
            data[at : at + len(number_in)] = number_in
        elif change == 3:
            data[at:at] = data[at : at + length] * int(random.integers(1, 5))
        elif change == 4:
            del data[at : at + length]
        elif change == 5:
            other = CASES[random.integers(0, len(CASES))].data
            start = int(random.integers(0, len(other)))
            data[at : at + length] = other[start : start + length]
        else:
            del data[max(at, 16) :]
        if not data:
            return b""
    return bytes(data)


def outcome(data: bytes) -> str:
    """What became of it; anything else than an ImageError passes through."""
    try:
        decoded = decode_image(data, SIZE, "squash", MOST_PIXELS)
    except ImageError as e:
        if not e.message or "more memory than there is" in e.message:
            raise AssertionError(f"refused for a reason that must not be: {e}") from e
        return e.error
    assert decoded.pixels.shape == (*SIZE, 3)
    assert decoded.width * decoded.height <= MOST_PIXELS
    return "pixels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--progress", type=Path, help="file that holds the number at work")
    given = parser.parse_args()
    configure_pillow(MOST_PIXELS)
    warnings.simplefilter("ignore")
    logging.disable()  # Pillow tells of odd TIFFs
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libtiff talks
    faulthandler.enable(sys.stderr)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + BYTES_OF_ONE, held + BYTES_OF_ONE))
    found: Counter[str] = Counter()
    until, slowest = time.monotonic() + given.seconds, 0.0
    numbers = itertools.count(given.first) if given.count is None else range(given.first, given.first + given.count)
    for number in numbers:
        data, started = mutated(number), time.monotonic()
        if started > until:
            break
        if given.progress:
            given.progress.write_text(str(number))
        faulthandler.dump_traceback_later(SECONDS_OF_ONE, exit=True, file=sys.stderr)
        try:
            found[outcome(data)] += 1
        except BaseException:
            print(f"number {number}, of {CASES[number % len(CASES)].name}:", file=sys.stderr)
            raise
        slowest = max(slowest, time.monotonic() - started)
    faulthandler.cancel_dump_traceback_later()
    print(f"{found.total():,} mutations, the slowest of {slowest:.2f} s: {dict(found.most_common())}")


if __name__ == "__main__":
    main()
