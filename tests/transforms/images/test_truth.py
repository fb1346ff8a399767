"""Every format, depth, kind of color and layout that is read, against numbers; and every one that is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.transforms.images.truth import CASES
from tests.transforms.images.truth.pictures import Case
from transforms.images.decoding import ImageError, decode_image


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pixels_are_right_or_refused(case: Case) -> None:
    size = case.truth.shape[:2] if case.truth is not None else (24, 24)
    if case.truth is None:
        with pytest.raises(ImageError) as refused:
            decode_image(case.data, size, "squash", 10**6)
        assert refused.value.error == case.error, refused.value.message
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        decoded = decode_image(case.data, size, "squash", 10**6)
    assert (decoded.height, decoded.width) == size
    np.testing.assert_allclose(decoded.pixels.astype(int), case.truth.astype(int), atol=case.near, rtol=0)
