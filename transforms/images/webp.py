"""WebP: the size of its canvas, and how much of it the first frame of an animation covers.

https://developers.google.com/speed/webp/docs/riff_container
"""

from __future__ import annotations

from collections.abc import Iterator

Box = tuple[int, int, int, int]


def canvas(data: bytes) -> tuple[int, int]:
    """(width, height) of an extended WebP; (0, 0) of another one, which is no larger than its frame."""
    if data[12:16] != b"VP8X" or len(data) < 30:
        return 0, 0
    return 1 + _number(data, 24), 1 + _number(data, 27)


def first_frame(data: bytes) -> Box | None:
    """(left, top, right, bottom) of the first frame of an animation without alpha, which says so: else None."""
    if data[12:16] != b"VP8X" or len(data) < 30 or data[20] & 0x10 or not data[20] & 0x02:
        return None
    start = next((start for kind, start in _chunks(data) if kind == b"ANMF"), None)
    if start is None or start + 12 > len(data):
        return None
    left, top = 2 * _number(data, start), 2 * _number(data, start + 3)
    return left, top, left + 1 + _number(data, start + 6), top + 1 + _number(data, start + 9)


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    at = 12
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8
        at += 8 + length + length % 2


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")
