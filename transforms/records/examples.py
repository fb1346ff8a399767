"""tf.Examples as bytes, of which equal values make equal ones.

The messages are those of tensorflow/core/example/example.proto and feature.proto. Libraries of protocol buffers write
the features, a map, in an order that differs from record to record. Here they come by name, as where a deterministic
serialization is asked for: tests compare with TensorFlow's, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

# Tags of the fields, all of them delimited: Example.features, Features.feature, a map entry's key and value.
FEATURES = FEATURE = KEY = b"\n"
VALUE = b"\x12"
# Feature's lists, each with its packed values in field 1.
BYTES_LIST, FLOAT_LIST, INT64_LIST = b"\n", b"\x12", b"\x1a"
VALUES = b"\n"
REMEMBERED = 1 << 12  # names and lengths that are encoded once


def example(*features: bytes) -> bytes:
    """A tf.Example of features, which must come in the order of their names."""
    return _delimited(FEATURES, b"".join(features))


def bytes_feature(name: str, *values: bytes) -> bytes:
    """Any number of values but none."""
    if len(values) == 1:
        return _feature(name, BYTES_LIST, values[0])
    return _entry(name, _delimited(BYTES_LIST, b"".join(_delimited(VALUES, value) for value in values)))


def int64_feature(name: str, *values: int) -> bytes:
    """Any number of values but none."""
    return _feature(name, INT64_LIST, b"".join(_varint(value & (1 << 64) - 1) for value in values))


def float_feature(name: str, values: bytes) -> bytes:
    """Any number of values, float32 in little-endian order."""
    return _feature(name, FLOAT_LIST, values)


def empty_feature(name: str) -> bytes:
    """No value, and of no kind: what readers take for a missing feature, and give their default for."""
    return _entry(name, b"")


def entries(record: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, encoded feature) of each feature of a tf.Example, for `example`.

    Raises:
        ValueError: it is none.
    """
    for tag, features in _fields(record):
        if tag != FEATURES[0]:
            continue
        for _, entry in _fields(features):
            names = [content for tag, content in _fields(entry) if tag == KEY[0]]
            yield (names[-1].decode() if names else ""), _delimited(FEATURE, entry)


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, content) of the fields of a message, all of which are delimited."""
    place = 0
    while place < len(message):
        tag = message[place]
        length, place = _length_at(message, place + 1)
        if tag & 7 != 2 or place + length > len(message):
            raise ValueError(f"no tf.Example: at its byte {place}")
        yield tag, message[place : place + length]
        place += length


def _length_at(message: bytes, place: int) -> tuple[int, int]:
    """(varint, place behind it)."""
    value = shift = 0
    while place < len(message):
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError(f"no tf.Example: it ends within a length, at its byte {place}")


def _entry(name: str, feature: bytes) -> bytes:
    return _delimited(FEATURE, _delimited(KEY, name.encode()) + _delimited(VALUE, feature))


def _feature(name: str, kind: bytes, values: bytes) -> bytes:
    return _head(name, kind, len(values)) + values


@lru_cache(REMEMBERED)
def _head(name: str, kind: bytes, length: int) -> bytes:
    """What stands before the values of a feature. Names are few, and so are most lengths."""
    head = VALUES + _varint(length)
    for tag in (kind, VALUE):
        head = tag + _varint(len(head) + length) + head
    head = _delimited(KEY, name.encode()) + head
    return FEATURE + _varint(len(head) + length) + head


def _delimited(tag: bytes, content: bytes) -> bytes:
    return b"".join((tag, _varint(len(content)), content))


@lru_cache(REMEMBERED)
def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last are marked."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
