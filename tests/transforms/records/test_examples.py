"""tf.Examples written and read without TensorFlow, against TensorFlow's own messages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example as of
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.records import examples
from transforms.records.examples import (
    before_floats,
    bytes_feature,
    empty_feature,
    entries,
    example,
    features_of,
    float_feature,
    int64_feature,
)

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
FLOAT32 = st.floats(width=32, allow_nan=False)
FEATURES = st.one_of(
    st.tuples(st.just("bytes"), st.lists(st.binary(max_size=300), max_size=4)),
    st.tuples(st.just("int64"), st.lists(INT64, max_size=4)),
    st.tuples(st.just("float"), st.lists(FLOAT32, max_size=4)),
    st.tuples(st.just("none"), st.just([])),
)
EXAMPLES = st.dictionaries(st.text(max_size=8), FEATURES, max_size=5)


def theirs(features: dict[str, tuple[str, list[Any]]]) -> Any:
    """As TensorFlow's classes have it."""
    import tensorflow as tf

    made = tf.train.Example()
    for name, (kind, values) in features.items():
        feature = made.features.feature[name]
        if kind != "none":
            getattr(feature, f"{kind}_list").SetInParent()
            getattr(feature, f"{kind}_list").value.extend(values)
    made.features.SetInParent()
    return made


def ours(features: dict[str, tuple[str, list[Any]]]) -> bytes:
    """In the order of `features`."""
    write: dict[str, Callable[..., bytes]] = {
        "bytes": bytes_feature,
        "int64": int64_feature,
        "float": lambda name, *values: float_feature(name, np.array(values, "<f4").tobytes()),
        "none": empty_feature,
    }
    return example(*(write[kind](name, *values) for name, (kind, values) in features.items()))


@settings(max_examples=300, deadline=None)
@given(EXAMPLES)
@of({"a": ("int64", [-1]), "b": ("int64", [0, -(1 << 63)]), "c": ("bytes", []), "d": ("float", [])})
def test_all_kinds_of_features_are_written_as_tensorflow_does(features: dict[str, tuple[str, list[Any]]]) -> None:
    expected = theirs(features).SerializeToString()
    assert ours({name: features[name] for name, _ in entries(expected)}) == expected


@settings(max_examples=300, deadline=None)
@given(EXAMPLES)
def test_they_are_read_as_they_were_written(features: dict[str, tuple[str, list[Any]]]) -> None:
    for data in (ours(features), theirs(features).SerializeToString()):
        assert features_of(data) == {
            name: None if kind == "none" else values[0] if len(values) == 1 else values
            for name, (kind, values) in features.items()
        }
        assert example(*(feature for _, feature in entries(data))) == data
        assert sorted(name for name, _ in entries(data)) == sorted(features)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1])
def test_what_is_no_int64_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="is no int64"):
        int64_feature("a", value)


def test_not_a_number_and_infinities() -> None:
    found = features_of(example(float_feature("a", np.array([np.nan, np.inf, -np.inf], "<f4").tobytes())))["a"]
    assert isinstance(found, list)
    assert math.isnan(found[0])
    assert found[1:] == [math.inf, -math.inf]


def delimited(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes([tag, len(content)]) + content


def of_feature(*lists: bytes) -> bytes:
    return delimited(10, delimited(10, delimited(10, b"a") + delimited(18, b"".join(lists))))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (of_feature(delimited(26, b"\x08\x05\x08\x06\x0a\x02\x07\x08")), [5, 6, 7, 8]),  # not packed, and packed
        (of_feature(delimited(18, b"\x0d\x00\x00\x00\x3f")), 0.5),  # a float that is not packed
        (of_feature(delimited(10, b"\x0a\x01x"), delimited(10, b"\x0a\x01y")), [b"x", b"y"]),  # one list in two parts
        (of_feature(delimited(10, b"\x0a\x01x"), delimited(26, b"\x0a\x01\x07")), 7),  # the last type counts
        (of_feature(delimited(10, b"\x0a\x01x\x12\x01u\x28\x07"), delimited(34, b"unknown")), b"x"),
        (of_feature(delimited(10, b"\x0a\x01x")) + b"\x10\x07\x19" + bytes(8) + b"\x1d" + bytes(4), b"x"),
        (of_feature(delimited(10, b"\x0a\x01x")) + of_feature(delimited(10, b"\x0a\x01y")), b"y"),  # the last name
        (of_feature(delimited(26, b"\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f")), -1),  # bits beyond the 64th
    ],
)
def test_what_protocol_buffers_allow_is_read_as_they_have_it(data: bytes, expected: object) -> None:
    import tensorflow as tf

    feature = tf.train.Example.FromString(data).features.feature["a"]
    values = list(getattr(feature, feature.WhichOneof("kind")).value)
    assert features_of(data) == {"a": expected}
    assert values == (expected if isinstance(expected, list) else [expected])


@pytest.mark.parametrize(
    "data",
    [
        of_feature(delimited(18, b"\x0a\x03abc")),  # three bytes of floats
        of_feature(delimited(26, b"\x0a\x01\xff")),  # a number that does not end
        of_feature(delimited(10, b"\x0a\x09x")),  # longer than what it is in
        delimited(10, delimited(10, delimited(10, b"\xff"))),  # a name that is no UTF-8
        b"\x00\x00",
        b"\x07",
    ],
)
def test_what_no_reader_takes_is_refused(data: bytes) -> None:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    with pytest.raises(ValueError, match=r"\w"):
        features_of(data)
    with pytest.raises(DecodeError):
        tf.train.Example.FromString(data)


@settings(max_examples=500, deadline=None)
@given(EXAMPLES, st.data())
def test_malformed_ones_are_refused_or_read_as_tensorflow_does(
    features: dict[str, tuple[str, list[Any]]], draw: st.DataObject
) -> None:
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from google.protobuf.unknown_fields import UnknownFieldSet

    data = bytearray(ours(features))
    if draw.draw(st.booleans()):
        data = data[: draw.draw(st.integers(0, len(data)))]
    elif data:
        data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    try:
        found = features_of(bytes(data))
    except ValueError:
        return  # of groups, which are refused here and passed over there, among others
    try:
        parsed = tf.train.Example.FromString(bytes(data)).features
    except DecodeError as e:
        pytest.fail(f"TensorFlow refuses what is read here as {found}: {e}")
    if len(UnknownFieldSet(parsed)):
        return  # Python's protocol buffers take an entry of the map that has another field besides for one as a whole
    expected = {
        name: list(getattr(feature, feature.WhichOneof("kind")).value) if feature.WhichOneof("kind") else None
        for name, feature in parsed.feature.items()
    }
    values = {name: value if isinstance(value, list | None) else [value] for name, value in found.items()}
    np.testing.assert_equal(values, expected)  # where no number equals itself


def test_what_is_kept_of_names_and_lengths_is_bounded() -> None:
    for i in range(2 * examples.HEADS_KEPT):
        int64_feature(f"name {i}", i << 20)
        before_floats("name", 1, i)
    assert examples._head.cache_info().currsize <= examples.HEADS_KEPT
    assert examples.before_floats.cache_info().currsize <= examples.HEADS_KEPT
    assert examples._varint.cache_info().currsize <= examples.HEADS_KEPT
