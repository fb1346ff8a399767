"""tf.Examples as bytes, of which equal values make equal ones.

The messages are those of tensorflow/core/example/example.proto and feature.proto. Libraries of protocol buffers write
the features, a map, in an order that differs from record to record. Here they come by name, as where a deterministic
serialization is asked for: tests compare with TensorFlow's, byte for byte.
"""

from __future__ import annotations

from functools import cache

# Tags of the fields, all of them delimited: Example.features, Features.feature, a map entry's key and value.
FEATURES = FEATURE = KEY = b"\n"
VALUE = b"\x12"
# Feature's lists, each with its packed values in field 1.
BYTES_LIST, FLOAT_LIST, INT64_LIST = b"\n", b"\x12", b"\x1a"
VALUES = b"\n"


def example(*features: bytes) -> bytes:
    """A tf.Example of features, which must come in the order of their names."""
    return _delimited(FEATURES, b"".join(features))


def bytes_feature(name: str, value: bytes) -> bytes:
    """One value."""
    return _feature(name, BYTES_LIST, value)


def int64_feature(name: str, value: int) -> bytes:
    """One value, from 0."""
    return _feature(name, INT64_LIST, _varint(value))


def float_feature(name: str, values: bytes) -> bytes:
    """Any number of values, float32 in little-endian order."""
    return _feature(name, FLOAT_LIST, values)


def _feature(name: str, kind: bytes, values: bytes) -> bytes:
    return _head(name, kind, len(values)) + values


@cache
def _head(name: str, kind: bytes, length: int) -> bytes:
    """What stands before the values of a feature. Names are few, and so are lengths."""
    head = VALUES + _varint(length)
    for tag in (kind, VALUE):
        head = tag + _varint(len(head) + length) + head
    head = _delimited(KEY, name.encode()) + head
    return FEATURE + _varint(len(head) + length) + head


def _delimited(tag: bytes, content: bytes) -> bytes:
    return b"".join((tag, _varint(len(content)), content))


@cache
def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last are marked."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
