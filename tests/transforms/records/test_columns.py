"""What is carried of an image, held against TensorFlow's own tf.Examples."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.elements import ImageInfo, ImageObject
from transforms.encoding import encode_examples
from transforms.records.columns import KINDS, Column, digest, encode, infer_kind, with_columns
from transforms.records.examples import entries, example

SOURCE = ImageObject("gs://bucket/写真.jpg", 10, "7", 1.5)
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
TEXT = st.text(min_size=1)
BYTES = st.binary(min_size=1)
VALUES = {"int64": INT64, "float": FLOAT32, "text": TEXT, "bytes": BYTES}
# With an end that is not within them: of names of which one begins another, protobuf's order is not that of bytes.
NAMES = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20).map("{}\0".format)


def record(columns: str = "") -> bytes:
    image = ImageInfo(SOURCE._replace(columns=columns), "JPEG", "0f" * 32, 500, 375)
    (encoded,) = encode_examples([image], np.arange(6, dtype=np.float32)[None])
    return encoded


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[str, str, Any]]:
    """(name, kind, value or list of values or None) of some columns."""
    found = []
    for name in draw(st.lists(NAMES, unique=True, max_size=5)):
        kind = draw(st.sampled_from([*KINDS]))
        found.append((name, kind, draw(st.none() | VALUES[kind] | st.lists(VALUES[kind], max_size=4))))
    return found


@settings(deadline=None)  # TensorFlow is imported within
@given(rows())
def test_records_are_tensorflows(row: list[tuple[str, str, Any]]) -> None:
    import tensorflow as tf

    columns = [Column(name, f"feature/{name}", kind) for name, kind, _ in row]
    carried = encode({name: value for name, _, value in row}, columns)
    wanted = tf.train.Example.FromString(record())
    for name, kind, value in row:
        values = [] if value is None else value if isinstance(value, list) else [value]
        feature = wanted.features.feature[f"feature/{name}"]
        feature.SetInParent()
        if values and kind == "int64":
            feature.int64_list.value[:] = values
        elif values and kind == "float":
            feature.float_list.value[:] = values
        elif values:
            feature.bytes_list.value[:] = [part.encode() if kind == "text" else part for part in values]
    assert record(carried) == wanted.SerializeToString(deterministic=True)
    assert with_columns(record(carried), "") == record()
    assert with_columns(record('{"other":1}'), carried) == record(carried)


@given(rows())
def test_the_same_values_are_the_same_text(row: list[tuple[str, str, Any]]) -> None:
    columns = [Column(name, name, kind) for name, kind, _ in row]
    values = {name: value for name, _, value in row}
    carried = encode(values, columns)
    assert encode(dict(reversed(values.items())), columns[::-1]) == carried
    assert json.loads(carried).keys() == values.keys()
    assert carried.isprintable() or json.loads(carried) is not None
    assert len(digest(carried)) == 16
    assert digest("") == ""


@given(st.binary(max_size=60))
def test_what_is_no_example_is_refused_or_comes_back(data: bytes) -> None:
    try:
        found = list(entries(data))
    except ValueError:
        return
    assert list(entries(example(*(encoded for _, encoded in found)))) == found


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("int64", True, "1"),
        ("int64", "-12", "-12"),
        ("int64", b"7", "7"),
        ("float", 3, "3.0"),
        ("float", "1e3", "1000.0"),
        ("float", Decimal("0.5"), "0.5"),
        ("float", float("nan"), "null"),
        ("text", 7, '"7"'),
        ("text", date(2026, 1, 2), '"2026-01-02"'),
        ("text", datetime(2026, 1, 2, 3, tzinfo=UTC), '"2026-01-02T03:00:00+00:00"'),
        ("text", {"b": [1], "a": None}, r'"{\"a\":null,\"b\":[1]}"'),
        ("text", [[1, 2], [3, 4]], '"[[1,2],[3,4]]"'),
        ("text", ["a", "b"], '["a","b"]'),
        ("text", "", "null"),
        ("bytes", "ä", '{"base64":"w6Q="}'),
        ("int64", [], "[]"),
    ],
)
def test_values_become_json(kind: str, value: Any, text: str) -> None:
    assert encode({"a": value}, [Column("a", "a", kind)]) == f'{{"a":{text}}}'


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int64", 1 << 63),
        ("int64", 1.0),
        ("int64", "007"),
        ("int64", "a"),
        ("int64", [1, None]),
        ("float", "a"),
        ("float", 1e300),
        ("float", float("inf")),
        ("text", b"\xff"),
        ("text", "\ud800"),
    ],
)
def test_a_value_that_is_none_of_its_column_is_refused(kind: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"its column 'a' holds .* which is no {kind}; --columns a:(text|bytes) takes"):
        encode({"a": value}, [Column("a", "a", kind)])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, True, None], "int64"),
        ([1, 2.5], "float"),
        ([1 << 64], "float"),
        ([1, "a"], "text"),
        ([[1, 2], 3], "int64"),
        ([b"a", "b"], "text"),
        ([b"a", b"\xff"], "bytes"),
        ([None, "", float("nan")], ""),
        ([Decimal("1.10")], "text"),
        ([{"a": 1}], "text"),
    ],
)
def test_kinds_are_told_by_values(values: list[Any], kind: str) -> None:
    assert infer_kind(values) == kind


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", ""], "int64"),
        (["1", "2.5", "1e5", ".5"], "float"),
        (["007", "1"], "text"),
        (["00.5"], "text"),
        (["+1"], "text"),
        (["9223372036854775808"], "float"),
        (["1", "n/a"], "text"),
        (["nan"], "text"),
        (["", ""], ""),
    ],
)
def test_kinds_of_files_of_text(values: list[str], kind: str) -> None:
    assert infer_kind(values, texts=True) == kind
