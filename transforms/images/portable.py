"""PNM: what Pillow reads with Python code, a sample or a byte at a time, is read or left out here.

https://netpbm.sourceforge.net/doc/pnm.html
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from PIL import Image

from transforms.images.colors import from_samples
from transforms.images.errors import ImageError, too_costly

COMMENT = re.compile(rb"#[^\r\n]*(\r\n|\r|\n|$)")
# The kind, then two or three numbers, with white space and comments between them.
NUMBER = rb"(?:\s|#[^\r\n]*[\r\n])+([^\s#]+)"
HEADERS = {count: re.compile(rb"P\w+" + NUMBER * count + rb"\s", re.ASCII) for count in (2, 3)}
MAX_HEADER_BYTES, MAX_COMMENTS = 1 << 16, 100_000


def plain_pnm(data: bytes) -> bytes:
    """Raises ImageError when the header, or the comments, are more than such files have."""
    kind = data[:2]
    header = HEADERS[2 if kind in (b"P1", b"P4") else 3].match(data, 0, MAX_HEADER_BYTES)
    if header is None and len(data) > MAX_HEADER_BYTES:
        raise too_costly(f"a PNM whose header is longer than {MAX_HEADER_BYTES:,} bytes")
    if kind in (b"P1", b"P2", b"P3"):
        if data.count(b"#") > MAX_COMMENTS:
            raise too_costly(f"a PNM of more than {MAX_COMMENTS:,} comments")
        return COMMENT.sub(b"", data)
    return data


class Deep(NamedTuple):
    """A binary PNM to another maximum than 255.

    Attributes:
        width, height: in pixels.
        channels: 1 for grey, 3 for RGB.
        most: the largest sample there may be.
        start: of the samples in the file.
    """

    width: int
    height: int
    channels: int
    most: int
    start: int


def deep_of(data: bytes) -> Deep | None:
    header, channels = HEADERS[3].match(data, 0, MAX_HEADER_BYTES), {b"P5": 1, b"P6": 3}.get(data[:2])
    if header is None or channels is None or not all(number.isdigit() for number in header.groups()):
        return None
    width, height, most = (int(number) for number in header.groups())
    return Deep(width, height, channels, most, header.end()) if 0 < most < 1 << 16 and most != 255 else None


def read_deep(data: bytes, deep: Deep) -> Image.Image:
    count, kind = deep.width * deep.height * deep.channels, ">u2" if deep.most > 255 else "u1"
    if len(data) - deep.start < count * np.dtype(kind).itemsize:
        raise ImageError("TruncatedImage", "a PNM that ends before its pixels do")
    samples = np.frombuffer(data, kind, count, deep.start).reshape(deep.height, deep.width, deep.channels)
    return from_samples(samples, deep.most, filled=False)
