"""GIF: what stands before its first frame, and what that frame does not cover.

https://www.w3.org/Graphics/GIF/spec-gif89a.txt
"""

from __future__ import annotations

from PIL import Image, ImageFile

from transforms.images.errors import too_costly

EXTENSION, FRAME, TRAILER, GRAPHIC_CONTROL = 0x21, 0x2C, 0x3B, 0xF9
# Comments and program data before the first frame: some are a profile or XMP, in blocks of 255 bytes.
MAX_BLOCKS = 200_000


def without_extensions(data: bytes) -> bytes:
    """The GIF without comments and program data before its first frame, which Pillow collects in quadratic time."""
    end = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    kept, at, blocks, whole = [data[:end]], end, 0, True
    while at < len(data) and data[at] not in (FRAME, TRAILER):
        start, at = at, at + 1
        if data[start] == EXTENSION:
            at += 1
            while at < len(data) and data[at]:
                at += 1 + data[at]
                blocks += 1
                if blocks > MAX_BLOCKS:
                    raise too_costly(f"a GIF of more than {MAX_BLOCKS:,} blocks before its first frame")
            at += 1
        if data[start] == EXTENSION and data[start + 1 : start + 2] == bytes([GRAPHIC_CONTROL]):
            kept.append(data[start:at])
        else:
            whole = False
    return data if whole else b"".join([*kept, data[at:]])


def prepare(image: ImageFile.ImageFile) -> None:
    """Keeps Pillow from filling an opened GIF with its transparent color, which hides that pixels are missing."""
    image._frame_transparency = None  # type: ignore[attr-defined]


def on_screen(frame: Image.Image, box: tuple[int, int, int, int] | None) -> Image.Image:
    """White around a box of (left, top, right, bottom), whatever a decoder has put there."""
    if box is None or box == (0, 0, *frame.size):
        return frame
    screen = Image.new("RGB", frame.size, "white")
    screen.paste(frame.crop(box), box[:2])
    return screen
