"""What a file is, by its first bytes: a format that is read, one that is known and not read, or neither."""

from __future__ import annotations

import re
from importlib.util import find_spec

from PIL import Image

from transforms.images.errors import ImageError

# What Pillow decodes by itself. Left out: formats that run another program (EPS), that are read on
# Windows only (WMF), that Pillow identifies but cannot decode (FITS, GRIB, HDF5, …), and ones whose
# loose signatures claim files of other kinds (PCD, SPIDER, XVTHUMB, …).
FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "PSD",
    "QOI", "SGI", "TGA", "TIFF", "WEBP",
)  # fmt: skip
# What an extra adds: by format, the package that reads it, the extra, the file extensions.
EXTRAS = {
    "HEIF": ("pillow_heif", "heif", (".heic", ".heics", ".heif", ".heifs", ".hif")),
    "JXL": ("imagecodecs", "jxl", (".jxl",)),
}
NAMES = {"HEIF": "HEIC, or another HEIF", "JXL": "JPEG XL"}
# The formats that have no signature of their own, in the order in which their headers are tried.
UNSIGNED = ("DIB", "PCX", "TGA")

SIGNATURES = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF8", "GIF"),
    (rb"RIFF....WEBP", "WEBP"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "JPEG2000"),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n|\xff\x0a", "JXL"),
    (b"BM", "BMP"),
    (b"DDS ", "DDS"),
    (b"icns", "ICNS"),
    (b"\x00\x00\x01\x00", "ICO"),
    (rb"P[1-6][\s#]|P0CMYK|P[Ff]\s|Py(RGBA|CMYK)\s", "PPM"),
    (b"8BPS", "PSD"),
    (b"qoif", "QOI"),
    (b"\x01\xda[\x00\x01]", "SGI"),
)
# ISO base media files say in their brands what they are.
BRANDS = (
    (rb"avi[fs]", "AVIF"),
    (rb"hei[cxms]|hev[cxms]|mif1|msf1|miaf", "HEIF"),
    (rb"crx ", "a raw file of a Canon camera (CR3)"),
    (rb"qt  ", "a video (QuickTime)"),
    (rb"", "a video (MP4)"),
)
# TIFFs that are read, if at all, as raw files of cameras, and the ones that TIFF-like signatures stand for.
TIFF_KIN = (
    (rb"II\*\0.{4}CR", "a raw file of a Canon camera (CR2)"),
    (rb"IIR[OS]|MMOR", "a raw file of an Olympus camera (ORF)"),
    (rb"IIU\0", "a raw file of a Panasonic camera (RW2)"),
    (rb"II\xbc", "JPEG XR"),
    (rb"II\*\0|MM\0\*|II\+\0|MM\0\+|MM\*\0|II\0\*", "TIFF"),
)
PICTURES = (
    (rb"%PDF-", "a PDF document"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript (EPS)"),
    (rb"\xd7\xcd\xc6\x9a", "a Windows metafile (WMF)"),
    (rb"\x01\0\0\0.{36} EMF", "a Windows metafile (EMF)"),
    (rb"v/1\x01", "OpenEXR"),
    (rb"#\?(RADIANCE|RGBE)", "Radiance HDR"),
    (rb".{128}DICM", "DICOM"),
    (rb"SIMPLE  =", "FITS"),
    (rb"gimp xcf", "a GIMP picture (XCF)"),
    (rb"AT&TFORM", "DjVu"),
    (rb"FLIF", "FLIF"),
    (rb"BPG\xfb", "BPG"),
    (rb"P7\s", "PAM, the portable arbitrary map"),
    (rb"P7 332", "a thumbnail of XV"),
    (rb"/\* XPM \*/", "XPM"),
    (rb"(/\*.{0,200}\*/\s*)?#define \S*width", "XBM"),
    (rb"\x59\xa6\x6a\x95", "a Sun raster"),
    (rb"SDPX|XPDS", "DPX"),
    (rb"\x80\x2a\x5f\xd7", "Cineon"),
    (rb"\x8bJNG|\x8aMNG", "MNG, or JNG"),
    (rb"\xabKTX", "KTX"),
    (rb"BLP[012]", "a Blizzard texture (BLP)"),
    (rb"FORM.{4}(ILBM|PBM )", "an Amiga picture (ILBM)"),
    (rb"Image type:|Image type ", "IM, of IFUNC"),
    (rb"DanM|LinS", "Microsoft Paint of Windows 1 (MSP)"),
    (rb"FTEX", "a texture (FTEX)"),
    (rb"\x80\xe8\0\0", "a PIXAR raster"),
    (rb"\xb1\x68\xde\x3a", "PCX of several pages (DCX)"),
    (rb".{2048}PCD_", "a Photo CD picture"),
    (rb"\x89HDF", "HDF5"),
    (rb"GRIB", "GRIB"),
    (rb"BUFR", "BUFR"),
    (rb"FUJIFILMCCD-RAW", "a raw file of a Fujifilm camera (RAF)"),
    (rb"FOVb", "a raw file of a Sigma camera (X3F)"),
    (rb"\0MRM", "a raw file of a Minolta camera (MRW)"),
    (rb"(II|MM).{4}HEAPCCDR", "a raw file of a Canon camera (CRW)"),
    (rb"(\xef\xbb\xbf)?\s*(<\?xml.{0,400}?)?(<!--.{0,400}?-->\s*)?(<!DOCTYPE svg.{0,300}?>\s*)?<svg", "SVG"),
)
# Signatures that TGAs may have, too, which have none: looked at when nothing else was found.
WEAK = (
    (rb"\0\0\x02\0[^\0]\0", "a cursor of Windows (CUR)"),
    (rb".{4}[\x11\x12]\xaf", "an Autodesk animation (FLI, FLC)"),
    (rb".{20}GIMP", "a brush of GIMP (GBR)"),
    (rb"[\x01\x02]\0\x09\0\0[\x01\x03]", "a Windows metafile (WMF)"),
    (rb"\0\0\x01[\xba\xb3]", "a video (MPEG)"),
)
OTHERS = (
    (rb"\x1aE\xdf\xa3", "a video (Matroska, WebM)"),
    (rb"RIFF.{4}AVI ", "a video (AVI)"),
    (rb"OggS", "a video or sound (Ogg)"),
    (rb"FLV\x01", "a video (Flash)"),
    (rb"0&\xb2u\x8ef\xcf\x11", "a video (Windows Media)"),
    (rb"PK\x03\x04", "a ZIP archive, or a document in one"),
    (rb"\x1f\x8b", "data packed by gzip"),
    (rb"7z\xbc\xaf'\x1c|Rar!|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar", "an archive"),
    (rb"\xd0\xcf\x11\xe0", "a compound file, as older documents of Microsoft Office and FlashPix are"),
    (rb"GIMP (Palette|Gradient)", "a palette of GIMP"),
    (rb"\0\x05\x16\x07|\0\x05\x16\0", "what macOS keeps beside a file (AppleDouble)"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the image itself"),
    (rb"(\xef\xbb\xbf)?\s*(<!--.{0,400}?-->\s*)?<(!doctype html|html|head|body)", "a web page"),
    (rb"(\xef\xbb\xbf)?\s*<\?xml", "an XML document"),
)


def _compiled(table: tuple[tuple[bytes, str], ...]) -> list[tuple[re.Pattern[bytes], str]]:
    return [(re.compile(pattern, re.DOTALL | re.IGNORECASE * (b"<" in pattern)), name) for pattern, name in table]


READ = _compiled(SIGNATURES + TIFF_KIN)
UNREAD = [(pattern, name, "UnsupportedFormat") for pattern, name in _compiled(PICTURES)] + [
    (pattern, name, "NotAnImage") for pattern, name in _compiled(OTHERS)
]
LAST = _compiled(WEAK)
BY_BRAND = _compiled(BRANDS)
HEAD_BYTES = 2056


def identify(data: bytes) -> str:
    """The name of the format that the bytes claim to be; "" where they may be one that has no signature.

    Raises:
        ImageError: they are something that is known and not read here.
    """
    for pattern, name in READ:
        if pattern.match(data):
            return _readable(name)
    head = data[:HEAD_BYTES]
    if head[4:8] == b"ftyp":
        return _readable(_by_brand(head))
    for pattern, name, error in UNREAD:
        if pattern.match(head):
            raise ImageError(error, f"it is {name}, which is not read here")
    return ""


def refusal(data: bytes) -> ImageError:
    """Why nothing was found in the bytes."""
    for pattern, name in LAST:
        if pattern.match(data):
            return ImageError("UnsupportedFormat", f"it is {name}, which is not read here")
    message = "no image of a format that is read here"
    return ImageError("NotAnImage", message)


def extensions() -> frozenset[str]:
    """The file extensions of what is read, in lower case, with the dot."""
    Image.init()
    readable = (*FORMATS, "MPO")  # Pillow's JPEG plugin reads MPO, which is JPEGs in a row
    own = {extension for extension, name in Image.EXTENSION.items() if name in readable}
    more = {extension for package, _, known in EXTRAS.values() if find_spec(package) for extension in known}
    return frozenset(own | more)


def _readable(name: str) -> str:
    if name in FORMATS:
        return name
    if name not in EXTRAS:
        raise ImageError("UnsupportedFormat", f"it is {name}, which is not read here")
    package, extra, _ = EXTRAS[name]
    if not find_spec(package):
        raise ImageError("UnsupportedFormat", f"it is {NAMES[name]}; pip install 'embed-images[{extra}]' to read it")
    return name


def _by_brand(head: bytes) -> str:
    """The major brand decides, and the compatible ones where it says only that there is an image."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    major, others = head[8:12], [head[i : i + 4] for i in range(16, length - 3, 4)]
    if major in (b"mif1", b"msf1", b"miaf") and {b"avif", b"avis"} & set(others):
        return "AVIF"
    return next(name for pattern, name in BY_BRAND if pattern.match(major))
