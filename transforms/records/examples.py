"""tf.Examples as bytes, of which equal values make equal ones.

The messages are those of tensorflow/core/example/example.proto and feature.proto. Libraries of protocol buffers write
the features, a map, in an order that differs from record to record. Here they come by name, as where a deterministic
serialization is asked for: tests compare with TensorFlow's, byte for byte.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile
from typing import Any

# Tags of the fields, all of them delimited: Example.features, Features.feature, a map entry's key and value.
FEATURES = FEATURE = KEY = b"\n"
VALUE = b"\x12"
# Feature's lists, each with its packed values in field 1.
BYTES_LIST, FLOAT_LIST, INT64_LIST = b"\n", b"\x12", b"\x1a"
VALUES = b"\n"
# The same as numbers of fields, for reading, and what stands behind a tag: a varint, 8 bytes, a length and so many, 4.
BYTES, FLOAT, INT64 = 1, 2, 3
VARINT, FIXED64, DELIMITED, FIXED32 = 0, 1, 2, 5
FLOAT_BYTES = 4
# Names are few, and so are the lengths of their values; but for those of other writers' records.
HEADS_KEPT = 4096

Value = bytes | int | float | list[bytes] | list[int] | list[float] | None


def example(*features: bytes) -> bytes:
    """A tf.Example of features, which must come in the order of their names."""
    return _delimited(FEATURES, b"".join(features))


def bytes_feature(name: str, *values: bytes) -> bytes:
    if len(values) == 1:
        return _head(name, BYTES_LIST, len(values[0])) + values[0]
    return _of_list(name, BYTES_LIST, b"".join(_delimited(VALUES, value) for value in values))


def int64_feature(name: str, *values: int) -> bytes:
    """Raises ValueError for a value that is no int64."""
    return _packed(name, INT64_LIST, _int64(values[0]) if len(values) == 1 else b"".join(map(_int64, values)))


def float_feature(name: str, values: bytes) -> bytes:
    """Any number of values, float32 in little-endian order."""
    return _packed(name, FLOAT_LIST, values)


def empty_feature(name: str) -> bytes:
    """One that is there and has no values, not even a type of them."""
    return _delimited(FEATURE, _delimited(KEY, name.encode()) + _delimited(VALUE, b""))


def entries(example: bytes) -> list[tuple[str, bytes]]:
    """(name, feature) of the features in a tf.Example, in its order and as they stand there: what `example` takes.

    Raises:
        ValueError: it is none.
    """
    return [(_entry(entry)[0], _delimited(FEATURE, bytes(entry))) for entry in _entries(example)]


def features_of(example: bytes) -> dict[str, Value]:
    """The features of a tf.Example: the value of a list of one, else the list, None of one without a type.

    As protocol buffers have it: fields that are not known are passed over, of features of the same name the last one
    counts, and lists may be packed or not.

    Raises:
        ValueError: it is none.
    """
    return {name: _value(lists) for name, lists in map(_entry, _entries(example))}


@lru_cache(HEADS_KEPT)
def before_floats(name: str, count: int, size: int) -> bytes:
    """What stands before so many floats, the first feature of an example of so many bytes.

    Byte for byte as `example` and `float_feature` write it; empty where no such example is of so many.
    """
    lengths = (_varint(size - len(FEATURES) - width) for width in range(1, min(10, size)))
    fitting = [length for width, length in enumerate(lengths, 1) if len(length) == width]
    head = FEATURES + fitting[0] + _head(name, FLOAT_LIST, FLOAT_BYTES * count) if fitting and count else b""
    return head if len(head) + FLOAT_BYTES * count <= size else b""


def _packed(name: str, kind: bytes, values: bytes) -> bytes:
    return _head(name, kind, len(values)) + values if values else _of_list(name, kind, b"")


def _of_list(name: str, kind: bytes, content: bytes) -> bytes:
    return _delimited(FEATURE, _delimited(KEY, name.encode()) + _delimited(VALUE, _delimited(kind, content)))


@lru_cache(HEADS_KEPT)
def _head(name: str, kind: bytes, length: int) -> bytes:
    """What stands before the values of a feature."""
    head = VALUES + _varint(length)
    for tag in (kind, VALUE):
        head = tag + _varint(len(head) + length) + head
    head = _delimited(KEY, name.encode()) + head
    return FEATURE + _varint(len(head) + length) + head


def _delimited(tag: bytes, content: bytes) -> bytes:
    return b"".join((tag, _varint(len(content)), content))


@lru_cache(HEADS_KEPT)
def _int64(value: int) -> bytes:
    if not -(1 << 63) <= value < 1 << 63:
        raise ValueError(f"{value} is no int64")
    return _varint(value % (1 << 64))  # two's complement


@lru_cache(HEADS_KEPT)
def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last are marked."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _entries(example: bytes) -> Iterator[memoryview]:
    for number, wire, features in _fields(memoryview(example)):
        if number == 1 and wire == DELIMITED:
            yield from (entry for name, kind, entry in _fields(features) if name == 1 and kind == DELIMITED)


def _entry(entry: memoryview) -> tuple[str, list[tuple[int, memoryview]]]:
    """The name of a feature, and its lists: (their type, what they hold)."""
    name = ""
    lists: list[tuple[int, memoryview]] = []
    for number, wire, content in _fields(entry):
        if number == 1 and wire == DELIMITED:
            name = bytes(content).decode()
        elif number == 2 and wire == DELIMITED:
            known = (each for each in _fields(content) if each[0] in (BYTES, FLOAT, INT64) and each[1] == DELIMITED)
            lists += ((kind, values) for kind, _, values in known)
    return name, lists


def _value(lists: list[tuple[int, memoryview]]) -> Value:
    if not lists:
        return None
    last = lists[-1][0]
    of_last = (values for _, values in reversed(list(takewhile(lambda each: each[0] == last, reversed(lists)))))
    found = [value for values in of_last for value in _values(last, values)]
    return found[0] if len(found) == 1 else found


def _values(kind: int, content: memoryview) -> Iterator[Any]:
    """Of one list."""
    for number, wire, value in _fields(content):
        if number != 1:
            continue
        if kind == BYTES and wire == DELIMITED:
            yield bytes(value)
        elif kind == FLOAT and wire in (DELIMITED, FIXED32):
            if len(value) % 4:
                raise ValueError(f"{len(value):,} bytes of float32 values")
            yield from struct.unpack(f"<{len(value) // 4}f", value)
        elif kind == INT64 and wire == VARINT:
            yield _signed(value)
        elif kind == INT64 and wire == DELIMITED:
            at = 0
            while at < len(value):
                number, at = _read_varint(value, at)
                yield _signed(number)


def _fields(message: memoryview) -> Iterator[tuple[int, int, Any]]:
    """(number, what stands behind the tag, an int or a view of the bytes) of the fields of a message."""
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29 or wire not in (VARINT, DELIMITED, FIXED32, FIXED64):
            raise ValueError(f"no field of a message at byte {at} of it")
        if wire == VARINT:
            value, at = _read_varint(message, at)
            yield number, wire, value
            continue
        length = 4 if wire == FIXED32 else 8
        if wire == DELIMITED:
            length, at = _read_varint(message, at)
        if length > len(message) - at:
            raise ValueError(f"a field that is longer than its message, at byte {at} of it")
        yield number, wire, message[at : at + length]
        at += length


def _read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """(value, place behind it)."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError(f"a number that does not end, at byte {at} of a message")


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
