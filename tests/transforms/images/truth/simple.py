"""PNM, PCX, SGI and QOI: formats of a short header, by struct; QOI by imagecodecs."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np

from tests.transforms.images.truth.pictures import Case, packed, rgb, samples


def cases() -> Iterator[Case]:
    yield from _portable()
    yield from _pcx()
    yield from _sgi()
    yield from _qoi()


def _portable() -> Iterator[Case]:
    bits = samples(1)
    height, width = bits.shape[:2]
    head = f"{width} {height}\n".encode()
    ones = b"P4\n" + head + b"".join(packed(1 - bits[..., 0], 1))
    yield Case("PNM", "bilevel", 1, "binary", ones, rgb(bits, 1))
    text = b"P1\n# a comment\n" + head + " ".join(str(1 - bit) for bit in bits.ravel()).encode()
    yield Case("PNM", "bilevel", 1, "text", text, rgb(bits, 1))
    for depth, most in ((4, 15), (8, 255), (10, 1023), (12, 4095), (16, 65535), (7, 100)):
        for channels, binary, plain in ((1, b"P5", b"P2"), (3, b"P6", b"P3")):
            numbers = samples(depth, channels).astype(int) % (most + 1)
            truth = np.broadcast_to(np.round(numbers * (255 / most)), (height, width, 3))
            kind = "grey" if channels == 1 else "RGB"
            pixels = numbers.astype(">u2" if most > 255 else np.uint8).tobytes()
            data = binary + b"\n" + head + f"{most}\n".encode() + pixels
            yield Case("PNM", kind, depth, f"binary, to {most}", data, truth, 1)
            data = plain + b"\n" + head + f"{most}\n".encode() + " ".join(map(str, numbers.ravel())).encode()
            yield Case("PNM", kind, depth, f"text, to {most}", data, truth, 1)
    floats = b"Pf\n" + head + b"-1.0\n" + samples(8).astype("<f4").tobytes()
    yield Case("PNM", "floating-point grey", 32, "PFM", floats)
    of_tests = b"PyRGBA\n" + head + b"255\n" + samples(8, 4).tobytes()
    yield Case("PNM", "RGB with alpha", 8, "of Pillow's tests", of_tests, rgb(samples(8, 4)), 1)
    pam = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH 1\nMAXVAL 255\nTUPLTYPE GRAYSCALE\nENDHDR\n".encode()
    yield Case("PAM", "grey", 8, "plain", pam + samples(8).tobytes(), error="UnsupportedFormat")


def pcx(planes: list[bytes], shape: tuple[int, ...], bits: int, count: int, stride: int, head: bytes = b"") -> bytes:
    """Lines of planes, each byte that looks like a count as a run of one."""
    header = struct.pack("<BBBB4HHH", 10, 5, 1, bits, 0, 0, shape[1] - 1, shape[0] - 1, 72, 72)
    header += head.ljust(48, b"\0") + struct.pack("<BBHH", 0, count, stride, 1)
    body = b"".join(bytes([0xC1, byte]) if byte >= 0xC0 else bytes([byte]) for plane in planes for byte in plane)
    return header.ljust(128, b"\0") + body


def _pcx() -> Iterator[Case]:
    numbers, colors = samples(8), samples(8, 3)
    shape, stride = numbers.shape, 38
    table = samples(8, 3, 1, 256)[0]
    lines = [row.tobytes().ljust(stride, b"\0") for row in numbers[..., 0]]
    data = pcx(lines, shape, 8, 1, stride) + b"\x0c" + table.tobytes()
    yield Case("PCX", "palette", 8, "plain", data, table[numbers[..., 0]])
    planes = [row[:, band].tobytes().ljust(stride, b"\0") for row in colors for band in range(3)]
    yield Case("PCX", "RGB", 8, "planes", pcx(planes, shape, 8, 3, stride), colors)
    bits = samples(1)
    lines = [line.ljust(6, b"\0") for line in packed(bits[..., 0], 1)]
    yield Case("PCX", "bilevel", 1, "plain", pcx(lines, shape, 1, 1, 6), rgb(bits, 1))
    four, small = samples(4), samples(8, 3, 1, 16)[0]
    planes = [packed(row[None, :, 0] >> band & 1, 1)[0].ljust(6, b"\0") for row in four for band in range(4)]
    yield Case("PCX", "palette", 4, "planes", pcx(planes, shape, 1, 4, 6, small.tobytes()), small[four[..., 0]])
    yield Case("PCX", "palette", 4, "packed", pcx([b"\0" * 20] * 24, shape, 4, 1, 20))


def sgi(numbers: np.ndarray, depth: int, rows: list[bytes] | None = None) -> bytes:
    """Planes from the bottom up; `rows` are run lengths of each."""
    height, width, channels = numbers.shape
    head = struct.pack(
        ">HBBHHHHII", 474, rows is not None, depth // 8, 3 if channels > 1 else 2, width, height, channels, 0, 255
    )
    head = head.ljust(512, b"\0")
    if rows is None:
        planes = np.moveaxis(numbers[::-1], -1, 0)
        return head + planes.astype(f">u{depth // 8}").tobytes()
    starts = 512 + 8 * len(rows) + np.cumsum([0, *(len(row) for row in rows[:-1])])
    return (
        head + starts.astype(">u4").tobytes() + np.array([len(row) for row in rows], ">u4").tobytes() + b"".join(rows)
    )


def _sgi() -> Iterator[Case]:
    for depth in (8, 16):
        for kind, channels in (("grey", 1), ("RGB", 3), ("RGB with alpha", 4)):
            numbers = samples(depth, channels)
            truth, near = rgb(numbers, depth), (depth == 16) + (channels == 4)
            yield Case("SGI", kind, depth, "plain", sgi(numbers, depth), truth, near)
            rows = [
                _literal(row, depth) for band in range(channels) for row in numbers[::-1, :, band]
            ]  # fmt: skip
            yield Case("SGI", kind, depth, "run lengths", sgi(numbers, depth, rows), truth, near)
    for number, name in ((1, "RGB of 3, 3 and 2 bits"), (2, "indices"), (3, "a palette alone")):
        numbers = samples(8, 3 if number == 3 else 1)
        data = bytearray(sgi(numbers, 8))
        struct.pack_into(">I", data, 104, number)
        yield Case("SGI", name, 8, "plain", bytes(data))


def _literal(row: np.ndarray, depth: int) -> bytes:
    """A run of the first sample, and the others as they are."""
    code = ">u2" if depth == 16 else np.uint8
    counts = np.array([1], code).tobytes() + row[:1].astype(code).tobytes()
    return (
        counts + np.array([0x80 | (len(row) - 1)], code).tobytes() + row[1:].astype(code).tobytes() + bytes(depth // 8)
    )


def _qoi() -> Iterator[Case]:
    for kind, channels in (("RGB", 3), ("RGB with alpha", 4)):
        numbers = samples(8, channels)
        numbers[2:6, 3:20] = numbers[2, 3]
        yield Case("QOI", kind, 8, "plain", imagecodecs.qoi_encode(numbers), rgb(numbers), channels - 3)
