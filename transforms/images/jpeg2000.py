"""JPEG 2000: the depths of its samples, which Pillow's modes do not tell, and what its structure costs.

ITU-T T.800, annex A. The boxes around the codestream are jp2_boxes.py's.
"""

from __future__ import annotations

import struct
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFile

from transforms.images.colors import grey_to_rgb, is_filler, on_white, scaled
from transforms.images.errors import ImageError, too_costly, unsupported
from transforms.images.jp2_boxes import CHANNELS, PREMULTIPLIED, UNSPECIFIED, Channels, boxes, channels_of

CODESTREAM, COD = b"\xff\x4f\xff\x51", b"\xff\x52"
DEEP = "; pip install 'embed-images[deep]' to read it"
# OpenJPEG keeps some 200 bytes of each code block and looks at it in each layer. Encoders make blocks of 1,024 pixels
# or more, in up to some dozens of layers.
MAX_BOXES_BYTES = 16 << 20
MAX_TILES, LEAST_BLOCK, MAX_LAYERS, FREE_BLOCKS, MAX_LAYERED_TILES = 65_535, 256, 1_000, 100_000, 1 << 20


class Stream(NamedTuple):
    """Attributes:
    start: where the codestream begins in the file.
    width, height: of the image.
    depths: bits of a sample, by component.
    signed: whether any component has signed samples.
    subsampled: whether any component has fewer samples than the image has pixels.
    """

    start: int
    width: int
    height: int
    depths: tuple[int, ...]
    signed: bool
    subsampled: bool


def stream_of(data: bytes) -> Stream:
    """What the header of the codestream says.

    Raises:
        ImageError: it ends too early, or has more tiles, blocks or layers than its pixels need.
    """
    start = 0
    if not data.startswith(CODESTREAM):
        start = next((start for kind, start, _ in boxes(data, 0, len(data)) if kind == b"jp2c"), -1)
    if start > MAX_BOXES_BYTES:
        raise too_costly(f"a JPEG 2000 with {start:,} bytes before its picture")
    if start < 0 or start + 42 > len(data):
        raise ImageError("TruncatedImage", "a JPEG 2000 that ends within its header")
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    told = data[start + 42 : start + 42 + 3 * components]  # depth, and steps across and down, of each
    depths, signed = tuple((size & 0x7F) + 1 for size in told[::3]), any(size > 0x7F for size in told[::3])
    subsampled = any(step != 1 for step in told[1::3] + told[2::3])
    stream = Stream(start, right - left, bottom - top, depths, signed, subsampled)
    _check_cost(data, stream, -(-right // max(tile_width, 1)) * -(-bottom // max(tile_height, 1)))
    return stream


def _check_cost(data: bytes, stream: Stream, tiles: int) -> None:
    style = data.find(COD, stream.start, stream.start + (1 << 16))
    if tiles > MAX_TILES:
        raise too_costly(f"a JPEG 2000 of {tiles:,} tiles")
    if style < 0 or style + 14 > len(data):
        return
    precincts, _, layers = struct.unpack_from(">BBH", data, style + 4)
    levels, across, down = data[style + 9], data[style + 10] & 15, data[style + 11] & 15
    block = 1 << min(across + 2, 10) + min(down + 2, 10)
    if precincts & 1:
        sizes = data[style + 14 : style + 15 + levels]
        block = min([block, *(1 << (size & 15) + (size >> 4) for size in sizes[1:])])
    blocks = stream.width * stream.height * len(stream.depths) // block
    small = block < LEAST_BLOCK or layers > MAX_LAYERS
    if (blocks > FREE_BLOCKS and small) or layers * tiles > MAX_LAYERED_TILES:
        raise too_costly(
            f"a JPEG 2000 of {blocks:,} blocks of {block} samples in {layers:,} layers and {tiles:,} tiles"
        )


def check(data: bytes, stream: Stream) -> Channels:
    """Raises ImageError for what is not read; tells what the channels are."""
    channels = channels_of(data, stream.start, len(stream.depths))
    most = max(stream.depths, default=0)
    if most > 16:
        raise unsupported("a JPEG 2000 of more than 16 bits a sample, which have no agreed range; store 8 or 16")
    if channels.palette is not None and most > 8:
        raise unsupported(f"a JPEG 2000 of a palette of {most} bits an index")
    if channels.space == "YCbCr" and most < 8:
        raise unsupported(f"a JPEG 2000 in the color space YCbCr of {most} bits a sample")
    if is_deep(stream) and len(set(stream.depths)) > 1:
        raise unsupported(f"a JPEG 2000 whose channels have {stream.depths} bits")
    if is_deep(stream) and stream.subsampled:
        raise unsupported(f"a JPEG 2000 of {most} bits a sample, of which some colors have fewer samples than others")
    if is_deep(stream) and not find_spec("imagecodecs"):
        raise unsupported(f"a JPEG 2000 of {most} bits a sample in color{DEEP}")
    return channels


def prepare(image: ImageFile.ImageFile, stream: Stream) -> None:
    """Mends the mode of an opened image: Pillow takes 9 bits for 8 where a JP2's header tells them."""
    if image.mode == "L" and stream.depths[0] > 8:
        image._mode = "I;16"


def is_deep(stream: Stream) -> bool:
    """Of samples that Pillow would shift beyond 8 bits, or out of range."""
    return len(stream.depths) > 1 and max(stream.depths) > 8


def read_deep(data: bytes, stream: Stream, channels: Channels) -> Image.Image:
    """RGB of samples of more than 8 bits in color, by OpenJPEG as imagecodecs has it."""
    import imagecodecs

    shape = (stream.height, stream.width, len(stream.depths))
    samples = np.zeros(shape, np.int16 if stream.signed else np.uint16)
    imagecodecs.jpeg2k_decode(data, numthreads=1, out=samples)
    whole = samples.astype(np.int32) + (1 << stream.depths[0] - 1) if stream.signed else samples
    eight = scaled(whole, (1 << stream.depths[0]) - 1)
    count = CHANNELS[channels.space]
    mode = "RGB" if channels.space == "YCbCr" else channels.space  # which imagecodecs has turned into RGB
    plain = np.ascontiguousarray(eight[..., :count])
    colors = Image.frombytes(mode, (stream.width, stream.height), plain.tobytes()).convert("RGB")
    if channels.further is not None:
        colors.putalpha(Image.fromarray(eight[..., count]))
    return _opaque(colors, channels)


def rgb(image: ImageFile.ImageFile, stream: Stream, channels: Channels) -> Image.Image:
    """RGB of a decoded JPEG 2000, whose samples Pillow shifts to 8 or 16 bits: the largest is not 255, then."""
    if channels.palette is not None:
        indices = np.asarray(image) >> max(8 - stream.depths[0], 0)
        return _opaque(Image.fromarray(channels.palette[np.minimum(indices, len(channels.palette) - 1)]), channels)
    if image.mode.startswith("I"):
        depth = stream.depths[0]
        return grey_to_rgb(np.asarray(image) >> 16 - depth, (1 << depth) - 1)
    if any(depth < 8 for depth in stream.depths):
        tables = [scaled(np.arange(256) >> 8 - depth, (1 << depth) - 1) for depth in stream.depths]
        return _opaque(image.point(np.concatenate(tables).tolist()), channels)
    return _opaque(image, channels)


def _opaque(image: Image.Image, channels: Channels) -> Image.Image:
    """RGB of 8-bit samples, on white. An alpha channel of 0 everywhere is none, but in a palette, which declares it."""
    is_none = channels.palette is None and is_filler(image)
    if image.mode not in ("LA", "RGBA") or channels.further == UNSPECIFIED or is_none:
        return image.convert("RGB")
    if channels.further == PREMULTIPLIED:
        light = ImageChops.invert(image.getchannel("A"))
        return ImageChops.add(image.convert("RGB"), Image.merge("RGB", [light] * 3))
    return on_white(image.convert("RGBA"))
