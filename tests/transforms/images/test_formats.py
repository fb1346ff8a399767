"""What a file is, where it is no image that is read here: each known format has its own sentence."""

from __future__ import annotations

import numpy as np
import pytest

from tests.transforms.images.truth.table import without_extras
from transforms.images.decoding import ImageError, decode_image, extensions

PICTURES = {
    "PDF": b"%PDF-1.7\n1 0 obj",
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0",
    "binary EPS": b"\xc5\xd0\xd3\xc6" + bytes(40),
    "WMF": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "EMF": b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(40),
    "SVG": b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg">',
    "plain SVG": b"\xef\xbb\xbf  <svg>",
    "OpenEXR": b"v/1\x01\2\0\0\0",
    "Radiance HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe",
    "DICOM": bytes(128) + b"DICM\2\0",
    "FITS": b"SIMPLE  =                    T",
    "XCF": b"gimp xcf file\0",
    "DjVu": b"AT&TFORM\0\0\0\1DJVU",
    "JPEG XR": b"II\xbc\x01 \0\0\0",
    "CR2": b"II*\0\x10\0\0\0CR\2\0" + bytes(40),
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1crx isom",
    "ORF": b"IIRO\x08\0\0\0" + bytes(40),
    "RW2": b"IIU\0\x18\0\0\0" + bytes(40),
    "RAF": b"FUJIFILMCCD-RAW 0201",
    "X3F": b"FOVb" + bytes(40),
    "MNG": b"\x8aMNG\r\n\x1a\n",
    "XPM": b"/* XPM */\nstatic char *x[] = {",
    "XBM": b"#define picture_width 16\n",
    "PAM": b"P7\nWIDTH 4\n",
    "CUR": b"\0\0\2\0\1\0\x20\x20\0\0\0\0\0\0" + bytes(40),
    "FLI": bytes(4) + b"\x11\xaf" + bytes(40),
    "QuickTime": b"\0\0\0\x14ftypqt  \0\0\0\0qt  ",
    "MP4": b"\0\0\0\x18ftypisom\0\0\0\1isomavc1",
}
NO_PICTURES = {
    "Matroska": b"\x1aE\xdf\xa3" + bytes(40),
    "AVI": b"RIFF\0\0\1\0AVI LIST",
    "ZIP": b"PK\3\4" + bytes(40),
    "gzip": b"\x1f\x8b\x08\0" + bytes(40),
    "AppleDouble": b"\0\5\x16\7\0\2\0\0Mac OS X",
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "web page": b"\n<!doctype HTML><html>",
    "web page ": b"<html><body>404</body></html>",
    "XML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
}


def refusal(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as refused:
        decode_image(data, (8, 8), "squash", 10**6)
    return refused.value


@pytest.mark.parametrize("name", PICTURES)
def test_known_formats_are_named(name: str) -> None:
    found = refusal(PICTURES[name])
    assert found.error == "UnsupportedFormat"
    assert found.message.startswith("it is ")
    assert found.message.endswith("not read here")


@pytest.mark.parametrize("name", NO_PICTURES)
def test_what_is_no_image_is_named(name: str) -> None:
    found = refusal(NO_PICTURES[name])
    assert found.error == "NotAnImage"
    assert found.message.startswith("it is ")


@pytest.mark.parametrize(
    ("data", "extra"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "heif"),
        (b"\xff\x0a\0\x10", "jxl"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    ],
)
def test_formats_of_extras_say_which_to_install(data: bytes, extra: str) -> None:
    with without_extras():
        found = refusal(data)
    assert found.error == "UnsupportedFormat"
    assert f"pip install 'embed-images[{extra}]'" in found.message


def test_the_brand_of_an_avif_may_be_among_the_compatible_ones() -> None:
    assert refusal(b"\0\0\0\x1cftypmif1\0\0\0\0avifmif1miaf").message.startswith("it begins as AVIF does")


def test_noise_and_text_are_none_of_them() -> None:
    noise = np.random.default_rng(1).bytes(3000)
    for data in (b"no image", b"\xf3" + noise, b"{}", b"Python is no PNM", b"PyP\n2 2\n255\n0000"):
        found = refusal(data)
        assert found.error == "NotAnImage"
        assert found.message == "no image of a format that is read here"  # and no bytes of it


def test_a_header_that_breaks_off_says_of_what() -> None:
    for data, name in ((b"GIF89a", "GIF"), (b"\x89PNG\r\n\x1a\n\0\0", "PNG"), (b"BM\0\0", "BMP"), (b"DDS |", "DDS")):
        assert refusal(data).message.startswith(f"it begins as {name} does, but its header cannot be read")


def test_extensions_of_folders_follow_what_is_installed() -> None:
    assert {".jpg", ".jpeg", ".png", ".tif", ".webp", ".heic", ".jxl"} <= extensions()
    assert not {".pdf", ".eps", ".txt", ".mp4"} & extensions()
    with without_extras():
        assert not {".heic", ".jxl"} & extensions()
