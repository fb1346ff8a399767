"""JPEG: what its markers tell before it is decoded, and files that lack only their end."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from transforms.images.colors import from_samples, to_rgb
from transforms.images.directories import check_exif
from transforms.images.errors import ImageError, too_costly, unsupported
from transforms.images.orientation import orientation_of, upright

# Markers: ITU-T T.81, table B.1. Those that stand alone are passed over, as are fillers and what is none.
SOS, EOI, APP1, APP2 = 0xDA, 0xD9, 0xE1, 0xE2
ALONE = frozenset((0x00, 0x01, 0xFF, *range(0xD0, 0xD9)))
LAST = (SOS, EOI)  # of a header
# Frames that libjpeg decodes, tables of Huffman's and arithmetic coding, of quantization, restarts, what applications
# keep, comments, and the first scan.
USUAL = frozenset((0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xCA, 0xCC, 0xDA, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE))
FRAMES = {
    0xC0: "baseline", 0xC1: "extended sequential", 0xC2: "progressive", 0xC3: "lossless", 0xC5: "hierarchical",
    0xC6: "hierarchical", 0xC7: "hierarchical", 0xC9: "arithmetic-coded", 0xCA: "arithmetic-coded progressive",
    0xCB: "arithmetic-coded lossless", 0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical",
    0xF7: "JPEG-LS",
}  # fmt: skip
PLAIN = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)
LOSSLESS = 0xC3
DEEP = (0xC0, 0xC1, 0xC2, LOSSLESS)  # those that imagecodecs has decoders of, of 12 bits and lossless
# Scans of all pixels may cost so many times the largest image in one scan; encoders make about ten of a photo.
SCANS_OF_LARGEST = 32
# Pillow puts segments of EXIF together by copying all that it has for each.
EXIF_SEGMENTS = 16
# What may stand behind the end of the pixels without a change to them; a restart marker may stand before it.
TAILS = (b"\x55" * 64, b"\xaa" * 64)
FILLERS = b"\0\xff"  # what stands where the rest of a file was never written
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"


Segment = tuple[int, int, int]  # a marker, where its parameters start, where they end


class Frame(NamedTuple):
    """Attributes:
    kind: the marker, one of `FRAMES`.
    depth: bits of a sample.
    height, width: in pixels; 0 where a later marker would tell the height.
    components: samples of a pixel.
    is_usual: whether its header has nothing but segments that cameras and encoders write, and is of one image.
    may_be_turned: whether a segment may tell which way is up.
    """

    kind: int
    depth: int
    height: int
    width: int
    components: int
    is_usual: bool
    may_be_turned: bool

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
    kind, fields, scanned = 0, b"", 0
    usual, turned, last_end = True, False, 2
    for marker, start, end in header(data):
        usual = usual and marker in USUAL and start - 4 == last_end  # and nothing stands between
        last_end = end
        if marker in FRAMES:
            kind, fields = marker, data[start : start + 6]
        elif marker == APP1:
            turned = True
            if data.startswith(EXIF, start):
                exif.append(data[start + len(EXIF) : end])
        elif marker == APP2 and data.startswith(b"MPF\0", start):
            usual = False
            check_exif(data[start + 4 : end])  # an index of pictures, of the same directories
        elif marker == SOS:
            scanned = data[start] if start < len(data) else 0
    if len(exif) > EXIF_SEGMENTS:
        raise too_costly(f"it has {len(exif):,} segments of EXIF")
    if exif:
        check_exif(b"".join(exif))
    if len(fields) < 6:
        return None
    depth, height, width, components = struct.unpack(">BHHB", fields)
    usual = usual and components in (1, 3) and height * width > 0
    frame = Frame(kind, depth, height, width, components, usual, turned)
    if not frame.is_plain and not (kind in DEEP and components in (1, 3) and find_spec("imagecodecs")):
        remedy = "; pip install 'embed-images[deep]' to read it" if kind in DEEP else ""
        told = f"{FRAMES[kind]}, {depth} bits a sample"
        raise unsupported(f"a JPEG of a kind that is not read here: {told}{remedy}")
    if kind in (0xC2, 0xCA) or scanned < components:
        _check_scans(data, width * height, max_image_pixels)
    return frame


def header(data: bytes) -> Iterator[Segment]:
    """The segments up to the first scan; what is no marker is passed over, as Pillow does."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker in ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        start, at = at + 4, at + 2 + (data[at + 2] << 8 | data[at + 3])
        yield marker, start, at
        if marker in LAST:
            return


def _check_scans(data: bytes, pixels: int, max_image_pixels: int) -> None:
    """Each scan goes over all pixels, however few bytes it has."""
    most = SCANS_OF_LARGEST * max_image_pixels // max(pixels, 1)
    if data.count(b"\xff\xda") <= most:  # also those of thumbnails and of what stands behind the image
        return
    scans = sum(marker == SOS for marker, _, _ in scans_of(data))
    if scans > most:
        raise too_costly(f"a JPEG of {pixels:,} pixels in {scans:,} scans, each of which goes over all of them")


def scans_of(data: bytes) -> Iterator[Segment]:
    """The headers of all scans of the image, and its end, when it has one."""
    at = next((start - 4 for marker, start, _ in header(data) if marker == SOS), len(data))
    for found in re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]").finditer(data, at):
        if found.start() < at:
            continue  # within a segment that was passed
        marker = data[found.start() + 1]
        if marker == EOI:
            yield EOI, found.end(), found.end()
            return
        length = int.from_bytes(data[found.end() : found.end() + 2], "big")
        at = found.end() + length
        if marker == SOS:
            yield SOS, found.end() + 2, at


def rgb(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """Decodes an opened JPEG to RGB, also one that lacks nothing but its end.

    Raises:
        ImageError, OSError: it is truncated.
    """
    if has_end(data):
        image.load()
        return to_rgb(image)
    tiles = list(image.tile)

    def decoded(whole: bytes) -> np.ndarray:
        image.fp, image.tile = io.BytesIO(whole), list(tiles)
        image.load()
        return np.asarray(image)

    _load_without_end(data, decoded)
    return to_rgb(image)


def has_end(data: bytes) -> bool:
    """Whether it has the marker that ends an image."""
    return data.endswith(b"\xff\xd9") or any(marker == EOI for marker, _, _ in scans_of(data))


def _load_without_end(data: bytes, decoded: Callable[[bytes], np.ndarray]) -> None:
    """Decodes a JPEG that lacks its end, when nothing that might stand behind its last scan is taken for pixels.

    Decoders take zeros for pixels, and make up what is missing.

    Raises:
        ImageError: it lacks more than its end.
    """
    scans = list(scans_of(data))
    # Pixels may end in a zero, seldom in two.
    whole = data if data.endswith(b"\0") and not data.endswith(b"\0\0") else data.rstrip(FILLERS)
    if _has_all_scans(whole, scans):
        # A decoder that waits for a restart marker passes over all else.
        restarts = re.findall(rb"\xff([\xd0-\xd7])", whole[scans[-1][2] :])
        restart = bytes([0xFF, 0xD0 + (restarts[-1][0] + 1) % 8 if restarts else 0xD0])
        first = decoded(whole + b"\xff\xd9")
        if all((decoded(whole + tail + b"\xff\xd9") == first).all() for tail in (*TAILS, restart + TAILS[0])):
            return
    raise ImageError("TruncatedImage", "a JPEG that ends before its pixels do")


def _has_all_scans(data: bytes, scans: list[Segment]) -> bool:
    """Whether each scan that a whole image needs has begun, in a JPEG without an end."""
    frame = next(((marker, start, end) for marker, start, end in header(data) if marker in FRAMES), None)
    if frame is None or not scans:
        return False
    # The bits that each coefficient of each component still lacks; many before its first scan.
    lacking = {component: [99] * 64 for component in data[frame[1] + 6 : frame[2] : 3]}
    for _, start, end in scans:
        count = data[start] if start < len(data) else 0
        first, last, approximation = data[end - 3 : end].ljust(3, b"\0")
        if frame[0] == LOSSLESS:  # whose scans have samples, all of their bits
            first, last, approximation = 0, 63, 0
        for component in data[start + 1 : start + 1 + 2 * count : 2]:
            lacking.get(component, [])[first : last + 1] = [approximation & 15] * (last + 1 - first)
    return all(bits == 0 for left in lacking.values() for bits in left)


def read_deep(data: bytes, frame: Frame) -> Image.Image:
    """RGB of a JPEG of 12 bits or a lossless one, upright, by libjpeg-turbo as imagecodecs has it.

    Raises:
        ImageError: it is truncated, of which libjpeg-turbo says nothing.
    """
    import imagecodecs

    shape = (frame.height, frame.width, frame.components)[: 2 if frame.components == 1 else 3]
    samples = np.zeros(shape, np.uint8 if frame.depth <= 8 else np.uint16)

    def decoded(whole: bytes) -> np.ndarray:
        imagecodecs.jpeg8_decode(whole, out=samples)  # not jpeg_decode, whose second decoder writes beyond its memory
        return samples.copy()

    if has_end(data):
        decoded(data)
    else:
        _load_without_end(data, decoded)
    return upright(from_samples(samples, (1 << frame.depth) - 1, filled=False), orientation_in(data))


def orientation_in(data: bytes) -> int:
    """The orientation that Pillow would find."""
    told = Image.new("L", (1, 1))
    exif = b""
    for content in (data[start:end] for marker, start, end in header(data) if marker == APP1):
        if content.startswith(EXIF):
            exif += content.removeprefix(EXIF)
        elif content.startswith(XMP):
            told.info["xmp"] = content.removeprefix(XMP)
    if exif:
        told.info["exif"] = EXIF + exif
    return orientation_of(told)
