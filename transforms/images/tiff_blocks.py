"""TIFF's strips and tiles: whether all of them are there. Decoders leave black, or take for pixels, what is not."""

from __future__ import annotations

from itertools import pairwise

from transforms.images.directories import Directory
from transforms.images.errors import ImageError

WIDTH, HEIGHT, BITS, COMPRESSION, SAMPLES, PLANAR = 256, 257, 258, 259, 277, 284
STRIPS, STRIP_ROWS, STRIP_BYTES = 273, 278, 279
TILE_WIDTH, TILE_HEIGHT, TILES, TILE_BYTES = 322, 323, 324, 325
MAX_BLOCKS = 1_000_000
PLAIN, OLD_JPEG, JPEG = 1, 6, 7
END_OF_JPEG = b"\xff\xd9"


def check_blocks(page: Directory) -> None:
    """Raises ImageError when strips or tiles are missing, or hold fewer bytes than their pixels need."""
    tiled = TILE_WIDTH in page.tags
    starts = page.values(TILES if tiled else STRIPS, (), MAX_BLOCKS)
    sizes = page.values(TILE_BYTES if tiled else STRIP_BYTES, (), MAX_BLOCKS)
    compression = page.value(COMPRESSION, PLAIN)
    if not starts or compression == OLD_JPEG:  # which may stand elsewhere
        return
    needed = _bytes_of_blocks(page, tiled)
    if len(starts) < len(needed):
        raise ImageError("TruncatedImage", f"a TIFF of {len(starts):,} strips or tiles, where it needs {len(needed):,}")
    starts = starts[: len(needed)]
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
    needed = _bytes_of_blocks(page, tiled)
    if page.value(COMPRESSION, PLAIN) == PLAIN and any(
        size < least for size, least in zip(sizes, needed, strict=False)
    ):
        raise ImageError("TruncatedImage", "a TIFF whose strips or tiles are shorter than their pixels")


def _check_room(starts: tuple[int, ...], needed: list[int]) -> None:
    """Pixels without compression are as long as they are, whatever the directory tells; the next ones lie behind."""
    order = sorted(zip(starts, needed, strict=True))
    for (start, least), (behind, _) in pairwise(order):
        if start < behind < start + least:
            raise ImageError("TruncatedImage", "a TIFF whose strips or tiles are shorter than their pixels")


def _bytes_of_blocks(page: Directory, tiled: bool) -> list[int]:
    """The bytes of each strip or tile without compression."""
    width, height, bits = page.value(WIDTH, 0), page.value(HEIGHT, 0), page.values(BITS, (1,))
    samples = page.value(SAMPLES, len(bits))
    planes, beside = (samples, 1) if page.value(PLANAR, 1) == 2 else (1, samples)
    if tiled:
        across, down = max(page.value(TILE_WIDTH, 0), 1), max(page.value(TILE_HEIGHT, 0), 1)
        count = -(-width // across) * -(-height // down)
        return [-(-across * bits[0] * beside // 8) * down] * min(count * planes, MAX_BLOCKS)
    rows = min(page.value(STRIP_ROWS, height) or height, height)
    line = -(-width * bits[0] * beside // 8)
    one = [line * min(rows, height - top) for top in range(0, height, rows)][:MAX_BLOCKS]
    return (one * planes)[:MAX_BLOCKS]
