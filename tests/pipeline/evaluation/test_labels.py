"""Which images have labels that can be held against others."""

from __future__ import annotations

import pyarrow as pa
import pytest

from pipeline.errors import RunError
from pipeline.evaluation.labels import check_column, read_labels


def test_rare_labels_and_images_without_one_are_left_out_and_counted() -> None:
    column = pa.chunked_array([["dog", None, "cat", "owl"], ["cat", "dog", None, "dog", "emu"]])
    found = read_labels(column, None)
    assert found.names == ("cat", "dog")
    assert found.rows.tolist() == [0, 2, 4, 5, 7]
    assert [found.names[code] for code in found.codes] == ["dog", "cat", "cat", "dog", "dog"]
    assert (found.groups, found.without_value) == (None, 2)
    assert (found.images_left_out, found.labels_left_out) == (2, 2)


def test_a_label_of_one_group_is_rare_and_an_image_of_no_group_is_one_by_itself() -> None:
    labels = pa.chunked_array([[7, 7, 7, -1, -1, 3, 3, None]])
    groups = pa.chunked_array([["a", "a", "a", "a", "b", None, None, "c"]])
    found = read_labels(labels, groups)
    assert found.names == (-1, 3)
    assert found.rows.tolist() == [3, 4, 5, 6]
    assert found.groups is not None
    assert sorted(found.groups.tolist()) == [0, 1, 2, 3]
    assert (found.without_value, found.images_left_out, found.labels_left_out) == (1, 3, 1)


def test_without_any_value_nothing_is_left() -> None:
    found = read_labels(pa.chunked_array([pa.nulls(3, pa.string())]), None)
    assert (found.names, found.rows.tolist(), found.without_value) == ((), [], 3)
    assert read_labels(pa.chunked_array([pa.nulls(0, pa.int64())]), None).names == ()


@pytest.mark.parametrize("kind", [pa.float32(), pa.list_(pa.string()), pa.binary()], ids=str)
def test_other_kinds_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(RunError, match=r"o: the column 'c' is of .*; labels and groups are one int64 or one text"):
        check_column(pa.schema([pa.field("c", kind)]), "c", "o")


@pytest.mark.parametrize("kind", [pa.int64(), pa.string()], ids=str)
def test_whole_numbers_and_texts_are_taken(kind: pa.DataType) -> None:
    check_column(pa.schema([pa.field("c", kind)]), "c", "o")
