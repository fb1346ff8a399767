"""TIFF's strips and tiles: whether all of them are there. Decoders leave black, or take for pixels, what is not."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from transforms.images.directories import Directory
from transforms.images.errors import ImageError

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, PLANAR = 256, 257, 258, 259, 277, 284
STRIPS, STRIP_ROWS, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
MAX_BLOCKS = 1_000_000
PLAIN, OLD_JPEG, JPEG = 1, 6, 7
END_OF_JPEG = b"\xff\xd9"


class Blocks(NamedTuple):
    """The strips or tiles that a page needs.

    Attributes:
        count: of all of them.
        of_plane: of those of one plane.
        whole, last: bytes of each without compression, and of the last one of a plane, which may be lower.
    """

    number: int
    of_plane: int
    whole: int
    last: int

    def bytes_of(self, place: int) -> int:
        return self.whole if (place + 1) % self.of_plane else self.last


def check_blocks(page: Directory) -> None:
    """Raises ImageError when strips or tiles are missing, or hold fewer bytes than their pixels need."""
    tiled = TILE_WIDTH in page.tags
    starts = page.values(TILES if tiled else STRIPS, (), MAX_BLOCKS)
    sizes = page.values(TILE_BYTES if tiled else STRIP_BYTES, (), MAX_BLOCKS)
    compression = page.value(COMPRESSION, PLAIN)
    if not starts or compression == OLD_JPEG:  # which may stand elsewhere
        return
    needed = _needed(page, tiled)
    if len(starts) < needed.number:
        raise ImageError(
            "TruncatedImage", f"a TIFF of {len(starts):,} strips or tiles, where it needs {needed.number:,}"
        )
    starts = starts[: needed.number]
    if not all(starts):
        raise ImageError("TruncatedImage", f"a TIFF in which {starts.count(0):,} strips or tiles were never written")
    if compression == PLAIN:
        _check_room(starts, needed)
        return
    for start, size in zip(starts, sizes, strict=False):
        lacks_end = compression == JPEG and page.data.rfind(END_OF_JPEG, start, start + size) < 0
        if start + size > len(page.data) or lacks_end:
            raise ImageError("TruncatedImage", "a TIFF that ends, or a JPEG inside of it, before its pixels do")


def check_sizes(page: Directory) -> None:
    """The same by the sizes that the directory tells, for libtiff, which reads no further."""
    tiled = TILE_WIDTH in page.tags
    sizes = page.values(TILE_BYTES if tiled else STRIP_BYTES, (), MAX_BLOCKS)
    needed = _needed(page, tiled)
    is_plain = page.value(COMPRESSION, PLAIN) == PLAIN
    if is_plain and any(size < needed.bytes_of(place) for place, size in enumerate(sizes[: needed.number])):
        raise ImageError("TruncatedImage", "a TIFF whose strips or tiles are shorter than their pixels")


def _check_room(starts: tuple[int, ...], needed: Blocks) -> None:
    """Pixels without compression are as long as they are, whatever the directory tells; the next ones lie behind."""
    order = sorted((start, needed.bytes_of(place)) for place, start in enumerate(starts))
    for (start, least), (behind, _) in pairwise(order):
        if start < behind < start + least:
            raise ImageError("TruncatedImage", "a TIFF whose strips or tiles are shorter than their pixels")


def _needed(page: Directory, tiled: bool) -> Blocks:
    width, height, bits = page.value(WIDTH, 0), page.value(HEIGHT, 0), page.values(BITS, (1,))
    samples = page.value(SAMPLES, len(bits))
    planes, beside = (samples, 1) if page.value(PLANAR, 1) == 2 else (1, samples)
    if tiled:
        across, down = max(page.value(TILE_WIDTH, 0), 1), max(page.value(TILE_HEIGHT, 0), 1)
        of_plane = -(-width // across) * -(-height // down)
        whole = last = -(-across * bits[0] * beside // 8) * down
    else:
        rows = min(page.value(STRIP_ROWS, height) or height, height)
        line = -(-width * bits[0] * beside // 8)
        of_plane = -(-height // rows)
        whole, last = line * rows, line * (height - rows * (of_plane - 1))
    return Blocks(of_plane * planes, of_plane, whole, last)
