"""The truth suite: pictures made of numbers, in every kind of file that is read here, and in ones that are not."""

from tests.transforms.images.truth import bitmaps, png, psd, simple, tiff

CASES = [case for family in (png, tiff, bitmaps, simple, psd) for case in family.cases()]
