"""Every format, depth, kind of color and layout that is read, against numbers; and every one that is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.transforms.images.truth import CASES
from tests.transforms.images.truth.pictures import Case
from tests.transforms.images.truth.table import BEGIN, DOCUMENT, END, table, without_extras
from transforms.images.decoding import ImageError, decode_image


def decoded(case: Case) -> np.ndarray | ImageError:
    """The pixels of a case, at its own size, or why it is refused."""
    size = case.truth.shape[:2] if case.truth is not None else (24, 24)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        try:
            image = decode_image(case.data, size, "squash", 10**6)
        except ImageError as e:
            return e
    assert case.truth is None or (image.height, image.width) == size
    return image.pixels


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_pixels_are_right_or_refused(case: Case) -> None:
    found = decoded(case)
    if case.truth is None:
        assert isinstance(found, ImageError), f"{case.name} was read"
        assert found.error == case.error, found.message
        return
    assert isinstance(found, np.ndarray), str(found)
    np.testing.assert_allclose(found.astype(int), case.truth.astype(int), atol=case.near, rtol=0)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_the_extras_pixels_are_right_or_the_refusal_names_one(case: Case) -> None:
    with without_extras():
        found = decoded(case)
    if case.truth is not None and isinstance(found, ImageError):
        assert "pip install 'embed-images[" in found.message
        assert found.error in ("UnsupportedFormat", "UnsupportedMode")
    elif case.truth is not None:
        np.testing.assert_allclose(found.astype(int), case.truth.astype(int), atol=case.near, rtol=0)
    else:
        assert isinstance(found, ImageError), f"{case.name} was read"


def test_the_document_has_the_table_of_this_suite() -> None:
    _, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    written, _, _ = rest.partition(END)
    assert written == table(), "make formats writes it anew"
