"""JPEGs of the usual kind, decoded by one call: the pixels, sizes and refusals are those of Pillow's reader."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from transforms.images import jpeg, opening, plain_jpeg
from transforms.images.decoding import ImageError, decode_image

MUTATIONS = 400
KINDS = {
    "plain": {}, "progressive": {"progressive": True}, "restarts": {"restart_marker_rows": 1},
    "full_color": {"subsampling": 0}, "half": {"subsampling": 1}, "comment": {"comment": b"a comment"},
    "turned": {"turned": 6}, "turned_by_xmp": {"xmp": b'<x tiff:Orientation="3"/>'}, "kept_rgb": {"keep_rgb": True},
    "tables": {"optimize": True}, "profile": {"icc_profile": bytes(100_000)}, "grey": {"mode": "L"},
}  # fmt: skip
UNUSUAL = {"four_inks": {"mode": "CMYK"}, "two_pictures": {"format": "MPO"}}


def encoded(width: int, height: int, mode: str = "RGB", format: str = "JPEG", turned: int = 0, **options: Any) -> bytes:
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    pixels = ((rows * 3 + columns * 2)[..., None] + [0, 40, 90] + noise) % 256
    image = Image.fromarray(pixels.astype(np.uint8)).convert(mode)
    if turned:
        exif = Image.Exif()
        exif[0x0112] = turned
        options["exif"] = exif.tobytes()
    if format == "MPO":
        options |= {"save_all": True, "append_images": [image]}
    image.save(file := io.BytesIO(), format, **options)
    return file.getvalue()


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Any, Any]]:
    """What becomes of a JPEG by the short way, where it is taken, and by Pillow's reader."""
    check = jpeg.check

    def unusual(data: bytes, most: int) -> jpeg.Frame | None:
        frame = check(data, most)
        return frame._replace(is_usual=False) if frame else None

    def decoded(data: bytes, size: tuple[int, int], resize: str, checked: Any) -> Any:
        monkeypatch.setattr(jpeg, "check", checked)
        try:
            image = decode_image(data, size, resize, 1 << 30)
        except ImageError as e:
            return e.error, e.message
        return image._replace(pixels=image.pixels.tobytes())  # type: ignore[arg-type]

    def of(data: bytes, size: tuple[int, int] = (32, 24), resize: str = "squash") -> tuple[Any, Any]:
        return decoded(data, size, resize, check), decoded(data, size, resize, unusual)

    return of


def is_taken(data: bytes) -> bool:
    frame = jpeg.check(data, 1 << 30)
    return frame is not None and frame.is_usual


@pytest.mark.parametrize("kind", [*KINDS, *UNUSUAL])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (9, 5), (97, 64), (129, 256), (500, 375), (520, 1300)])
def test_the_pixels_are_those_of_pillows_reader(kind: str, width: int, height: int, both: Any) -> None:
    data = encoded(width, height, **{**KINDS, **UNUSUAL}[kind])
    assert is_taken(data) == (kind in KINDS)
    for size, resize in (((32, 24), "squash"), ((16, 16), "slim_eval"), ((8, 30), "fit_crop")):
        short, long = both(data, size, resize)
        assert short == long
        assert (short.width, short.height) == ((height, width) if kind == "turned" else (width, height))


def test_damaged_ones_end_as_by_pillows_reader(both: Any) -> None:
    """Bytes changed, cut out and put in, most of them in the header; and files that end too early."""
    chance, ends = random.Random(0), set()
    kinds = [encoded(60, 44, **options) for options in KINDS.values() if "icc_profile" not in options]
    for number in range(MUTATIONS):
        data = bytearray(chance.choice(kinds))
        at = chance.randrange(2, len(data) if number % 4 == 3 else 600)
        changes = (chance.randbytes(1), b"", chance.randbytes(9), bytes(data[at - 2 : at + 3]))
        data[at : at + chance.randrange(1, 12)] = changes[number // 4 % 4]
        if number % 5 == 0:
            data[chance.randrange(len(data)) :] = b"\xff\xd9" * (number % 2)
        short, long = both(bytes(data))
        assert short == long, f"mutation {number}"
        ends.add(short[0] if len(short) == 2 else short.format)
    assert {"JPEG", "CorruptImage", "TruncatedImage", "NotAnImage"} <= ends


def without_height(data: bytes) -> bytes:
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + b"\0\0" + data[frame + 7 :]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[:2] + b"\xff\xf3\0\2" + data[2:], id="segment_that_nobody_writes"),
        pytest.param(lambda data: data[:20] + b"junk" + data[20:], id="something_between_segments"),
        pytest.param(lambda data: data[:-2], id="without_its_end"),
        pytest.param(without_height, id="height_told_later"),
        pytest.param(lambda data: data[:2] + b"\xff\xe2\0\6MPF\0" + data[2:], id="index_of_pictures"),
    ],
)
def test_others_are_left_to_pillows_reader(
    change: Callable[[bytes], bytes], both: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = change(encoded(60, 44))

    def unexpected(*_: object) -> None:
        raise AssertionError("this way was not to be taken")

    monkeypatch.setattr(plain_jpeg.PlainJpeg, "rgb", unexpected)
    short, long = both(data)
    assert short == long


def test_what_the_decoder_complains_of_is_left_to_pillows_reader(both: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is asked for the same fraction of the sides."""

    def complain(*_: object) -> None:
        raise ValueError("cannot decode image data")

    data = encoded(520, 640)
    monkeypatch.setattr(Image, "frombytes", complain)
    for size in ((32, 24), (200, 300)):
        short, long = both(data, size)
        assert short == long
        assert short.format == "JPEG"


def test_nothing_of_a_usual_one_is_read_by_pillows_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_jpeg, "pillow_image", functools.partial(pytest.fail, "read by Pillow's reader"))
    monkeypatch.setattr(opening, "pillow_image", functools.partial(pytest.fail, "read by Pillow's reader"))
    for kind, options in KINDS.items():
        assert decode_image(encoded(300, 200, **options), (32, 24), "squash", 1 << 30).format == "JPEG", kind
