"""The truth suite: pictures made of numbers, in every kind of file that is read here, and in ones that are not."""

from tests.transforms.images.truth import bitmaps, dds, jpeg, jpeg2000, modern, png, psd, simple, tiff, tiff_blocks

FAMILIES = (jpeg, png, tiff, tiff_blocks, modern, jpeg2000, bitmaps, simple, dds, psd)
CASES = [case for family in FAMILIES for case in family.cases()]
