"""JPEG: what its markers tell before it is decoded, and files that lack only their end."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from transforms.images.colors import from_samples
from transforms.images.directories import check_exif
from transforms.images.errors import too_costly, unsupported

# Markers: ITU-T T.81, table B.1. Those of 0xD0 to 0xD7, 0x01 and 0xD8 stand alone.
SOS, EOI = 0xDA, 0xD9
ALONE = frozenset((0x01, *range(0xD0, 0xD9)))
FRAMES = {
    0xC0: "baseline", 0xC1: "extended sequential", 0xC2: "progressive", 0xC3: "lossless", 0xC5: "hierarchical",
    0xC6: "hierarchical", 0xC7: "hierarchical", 0xC9: "arithmetic-coded", 0xCA: "arithmetic-coded progressive",
    0xCB: "arithmetic-coded lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical",
    0xF7: "JPEG-LS",
}  # fmt: skip
PLAIN = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
DEEP = (0xC0, 0xC1, 0xC2, 0xC3)  # those that imagecodecs has decoders of, of 12 bits and lossless
# Scans of all pixels may cost so many times the largest image in one scan; encoders make about ten of a photo.
SCANS_OF_LARGEST = 32
# Pillow puts segments of EXIF together by copying all that it has for each.
EXIF_SEGMENTS = 16
# What may stand behind the end of the pixels without a change to them.
TAILS = (b"", b"\x55" * 64, b"\xaa" * 64)


class Segment(NamedTuple):
    """A marker and where its parameters stand."""

    marker: int
    start: int
    end: int


class Frame(NamedTuple):
    """Attributes:
    kind: the marker, one of `FRAMES`.
    depth: bits of a sample.
    height, width: in pixels; 0 where a later marker would tell the height.
    components: samples of a pixel.
    """

    kind: int
    depth: int
    height: int
    width: int
    components: int

    @property
    def is_plain(self) -> bool:
        """Whether Pillow's libjpeg decodes it."""
        return self.kind in PLAIN and self.depth == 8


def check(data: bytes, max_image_pixels: int) -> Frame | None:
    """The frame of a JPEG, None where there is none.

    Raises:
        ImageError: it is of a kind that is not read, or would cost more than its pixels.
    """
    exif: list[bytes] = []
    frame, scanned = None, 0
    for segment in header(data):
        if segment.marker in FRAMES:
            fields = data[segment.start : segment.start + 6]
            frame = Frame(segment.marker, *struct.unpack(">BHHB", fields)) if len(fields) == 6 else None
        elif segment.marker == 0xE1 and data.startswith(b"Exif\0\0", segment.start):
            exif.append(data[segment.start + 6 : segment.end])
        elif segment.marker == 0xE2 and data.startswith(b"MPF\0", segment.start):
            check_exif(data[segment.start + 4 : segment.end])  # of the same directories
        elif segment.marker == SOS:
            scanned = data[segment.start] if segment.start < len(data) else 0
    if len(exif) > EXIF_SEGMENTS:
        raise too_costly(f"it has {len(exif):,} segments of EXIF")
    if exif:
        check_exif(b"".join(exif))
    if frame is None:
        return None
    if not frame.is_plain and not (frame.kind in DEEP and frame.components in (1, 3) and find_spec("imagecodecs")):
        remedy = "; pip install 'embed-images[deep]' to read it" if frame.kind in DEEP else ""
        kind = FRAMES[frame.kind]
        raise unsupported(f"a JPEG of a kind that is not read here: {kind}, {frame.depth} bits a sample{remedy}")
    if frame.kind in (0xC2, 0xCA) or scanned < frame.components:
        _check_scans(data, frame.width * frame.height, max_image_pixels)
    return frame


def header(data: bytes) -> Iterator[Segment]:
    """The segments up to the first scan; what is no marker is passed over, as Pillow does."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        length = data[at + 2] << 8 | data[at + 3]
        yield Segment(marker, at + 4, at + 2 + length)
        if marker in (SOS, EOI):
            return
        at += 2 + length


def _check_scans(data: bytes, pixels: int, max_image_pixels: int) -> None:
    """Each scan goes over all pixels, however few bytes it has."""
    most = SCANS_OF_LARGEST * max_image_pixels // max(pixels, 1)
    if data.count(b"\xff\xda") <= most:  # also those of thumbnails and of what stands behind the image
        return
    scans = sum(1 for _ in scans_of(data))
    if scans > most:
        raise too_costly(f"a JPEG of {pixels:,} pixels in {scans:,} scans, each of which goes over all of them")


def scans_of(data: bytes) -> Iterator[Segment]:
    """The headers of all scans of the image."""
    at = next((segment.start - 4 for segment in header(data) if segment.marker == SOS), len(data))
    for found in re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]").finditer(data, at):
        if found.start() < at:
            continue  # within a segment that was passed
        marker = data[found.start() + 1]
        if marker == EOI:
            return
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        at = found.end() + length
        if marker == SOS:
            yield Segment(SOS, found.end() + 2, at)


def load(image: ImageFile.ImageFile, data: bytes) -> None:
    """Decodes an opened JPEG, also one that lacks nothing but its end.

    Raises:
        OSError: it is truncated.
    """
    tiles = list(image.tile)
    try:
        image.load()
    except OSError:
        if not _has_all_scans(data):
            raise
        found = []
        for tail in TAILS:
            image.fp, image.tile = io.BytesIO(data.rstrip(b"\xff") + tail + b"\xff\xd9"), list(tiles)
            image.load()
            found.append(np.asarray(image))
        if any((pixels != found[0]).any() for pixels in found):
            raise  # what stands behind the end was taken for pixels: some are missing


def _has_all_scans(data: bytes) -> bool:
    """Whether each scan that a whole image needs has begun, in a JPEG without an end."""
    frame = next((segment for segment in header(data) if segment.marker in FRAMES), None)
    if frame is None or data.find(b"\xff\xd9", frame.end) >= 0:
        return False
    # The bits that each coefficient of each component still lacks; many before its first scan.
    lacking = {component: [99] * 64 for component in data[frame.start + 6 : frame.end : 3]}
    for scan in scans_of(data):
        count = data[scan.start] if scan.start < len(data) else 0
        first, last, approximation = data[scan.end - 3 : scan.end].ljust(3, b"\0")
        for component in data[scan.start + 1 : scan.start + 1 + 2 * count : 2]:
            lacking.get(component, [])[first : last + 1] = [approximation & 15] * (last + 1 - first)
    return all(bits == 0 for left in lacking.values() for bits in left)


def read_deep(data: bytes, frame: Frame) -> Image.Image:
    """RGB of a JPEG of 12 bits or a lossless one, by imagecodecs."""
    import imagecodecs

    return from_samples(imagecodecs.jpeg_decode(data), (1 << frame.depth) - 1, filled=False)
