"""DDS and SGI: what their headers say of pixels that Pillow reads as others than they are.

https://learn.microsoft.com/windows/win32/direct3ddds/dds-header; the SGI image file format, version 1.00.
"""

from __future__ import annotations

import struct

from transforms.images.errors import unsupported

FORMAT_AT, DX10_AT = 80, 128  # of a pixel format's flags, and of the header that may follow
ALPHA_PIXELS, LUMINANCE = 0x1, 0x20000
LOW_BYTE = 0xFF
SIGNED_CODES = (b"BC4S", b"BC5S")
OTHERS = {81: "signed numbers", 84: "signed numbers", 95: "floating-point numbers", 96: "floating-point numbers"}
ALPHA_MODES = {2: "premultiplied alpha", 4: "an alpha channel that is none"}
COLOR_MAP_AT = 104
COLOR_MAPS = {1: "of 3, 3 and 2 bits in a byte", 2: "of indices into a palette elsewhere", 3: "that is a palette"}


def check_dds(data: bytes) -> None:
    """Raises ImageError for pixels of signed, floating-point or fewer bits, and for alpha of another kind."""
    if len(data) < DX10_AT:
        return  # for Pillow to judge
    flags, code, bits, *_, alpha = struct.unpack_from("<I4s5I", data, FORMAT_AT)
    reason = ""
    # Pillow takes grey of a byte, and alpha of one behind it, whatever the masks are; some writers' masks are odd.
    if flags & LUMINANCE and flags & ALPHA_PIXELS and (bits != 16 or alpha & LOW_BYTE):
        reason = f"grey and alpha in {bits} bits"
    elif code in SIGNED_CODES:
        reason = OTHERS[84]
    elif code == b"DX10" and len(data) >= DX10_AT + 20:
        format, _, _, _, mode = struct.unpack_from("<5I", data, DX10_AT)
        reason = OTHERS.get(format) or ALPHA_MODES.get(mode & 7, "")
    if reason:
        raise unsupported(f"a DDS of {reason}, which is not read here")


def check_sgi(data: bytes) -> None:
    """Raises ImageError for one whose bytes are no samples of grey or RGB."""
    (kind,) = struct.unpack_from(">I", data, COLOR_MAP_AT) if len(data) >= COLOR_MAP_AT + 4 else (0,)
    if kind:
        raise unsupported(f"an SGI image {COLOR_MAPS.get(kind, f'of kind {kind}')}, which is not read here")
