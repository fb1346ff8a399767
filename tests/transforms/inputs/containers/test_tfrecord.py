"""TFRecord files that TensorFlow wrote, whole and broken at every place."""

from __future__ import annotations

import gzip
from pathlib import Path

import google_crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.inputs.containers.making import Found, found_in
from transforms.elements import Refusal
from transforms.inputs.containers import tfrecord
from transforms.records.examples import bytes_feature, example, int64_feature
from transforms.records.tfrecord import frame


def read(data: bytes, **asked: object) -> Found:
    return found_in(tfrecord.members, data, **asked)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_examples_that_tensorflow_wrote(tmp_path: Path, compression: str) -> None:
    import tensorflow as tf

    def bytes_list(*values: bytes) -> object:
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    records = []
    with tf.io.TFRecordWriter(str(tmp_path / "x"), compression) as writer:
        for i in range(3):
            features = {
                "image/encoded": bytes_list(b"image %d" % i),
                "image/class/label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i - 1])),
                "image/class/text": bytes_list("schön".encode()),
                "boxes": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, -2])),
                "none": tf.train.Feature(),
                "empty": bytes_list(),
            }
            records.append(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
            writer.write(records[-1])
    found = read((tmp_path / "x").read_bytes(), columns=("*",))
    assert found.images == {"0": b"image 0", "1": b"image 1", "2": b"image 2"}
    assert (found.damage, found.skipped) == ("", [])
    assert [member.columns for member in found.members] == [
        {
            "image/class/label": i - 1, "image/class/text": "schön".encode(), "boxes": [0.5, -2.0],
            "none": None, "empty": [],
        } for i in range(3)
    ]  # fmt: skip
    assert [member.size for member in found.members] == [7, 7, 7]
    assert [member.fingerprint for member in found.members] == [f"{google_crc32c.value(data):08x}" for data in records]
    some = read((tmp_path / "x").read_bytes(), columns=("boxes", "missing"))
    assert [member.columns for member in some.members] == [{"boxes": [0.5, -2.0]}] * 3


def test_records_without_an_image_are_refused_each() -> None:
    records = [
        example(bytes_feature("image/encoded", b"good"), bytes_feature("jpg", b"other")),
        example(bytes_feature("jpg", b"other"), bytes_feature("label", b"cat")),
        example(bytes_feature("image/encoded", b"a", b"b")),
        example(int64_feature("image/encoded", 7)),
        b"\xff no example",
        example(),
        example(bytes_feature("image/encoded", b"larger than that")),
        example(bytes_feature("image/encoded", b"good, too")),
    ]
    found = read(b"".join(map(frame, records)), max_bytes=10)
    assert {name: content for name, content in found.images.items() if isinstance(content, bytes)} == {
        "0": b"good", "7": b"good, too",
    }  # fmt: skip
    assert found.errors == dict.fromkeys("12345", "NoImage") | {"6": "ObjectTooLarge"}
    messages = {name: refusal.message for name, refusal in found.images.items() if isinstance(refusal, Refusal)}
    assert messages["1"] == "it has no feature 'image/encoded' among jpg, label; --image_column names it"
    assert messages["2"] == "its feature 'image/encoded' holds 2 values, not one image"
    assert messages["3"] == "its feature 'image/encoded' holds int, not the bytes of an image"
    assert messages["4"].startswith("its record is no tf.Example: ")
    named = read(b"".join(map(frame, records)), image_column="jpg")
    assert {name: content for name, content in named.images.items() if isinstance(content, bytes)} == {
        "0": b"other", "1": b"other",
    }  # fmt: skip


def test_records_that_are_larger_than_an_image_can_be_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tfrecord, "BESIDE_IMAGE", 100)
    large = example(bytes_feature("image/encoded", b"x" * 5000))
    data = frame(large) + frame(example(bytes_feature("image/encoded", b"small")))
    for packed in (data, gzip.compress(data)):
        found = read(packed, max_bytes=100)
        assert found.errors == {"0": "ObjectTooLarge"}
        assert found.images["1"] == b"small"
        assert found.members[0].fingerprint == f"{google_crc32c.value(large):08x}"
    assert "ends within its" in read(data[:3000], max_bytes=100).damage
    assert "ends within its" in read(frame(b"")[:0] + data[: len(frame(large)) - 1], max_bytes=100).damage


RECORDS = [example(bytes_feature("image/encoded", bytes([i]) * (20 * i))) for i in range(5)]
FRAMED = list(map(frame, RECORDS))
IMAGES = {str(i): bytes([i]) * (20 * i) for i in range(5)}


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_cut_anywhere_is_told(draw: st.DataObject) -> None:
    data = b"".join(FRAMED)
    cut = draw.draw(st.integers(0, len(data) - 1))
    found = read(data[:cut])
    ends = [sum(map(len, FRAMED[:i])) for i in range(6)]
    whole = sum(end <= cut for end in ends[1:])
    assert list(found.images.items()) == list(IMAGES.items())[:whole]
    assert bool(found.damage) == (cut not in ends)
    assert not found.damage or found.damage.startswith(f"record {whole} at byte {ends[whole]}: ")
    packed = gzip.compress(data, mtime=0)
    assert read(packed[: draw.draw(st.integers(2, len(packed) - 1))]).damage.startswith("its gzip is cut short at ")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_of_a_byte_that_is_flipped_one_record_is_lost_or_the_rest(draw: st.DataObject) -> None:
    """The rest, when it is in the length of a record; each record that is given is as it was written."""
    data = bytearray(b"".join(FRAMED))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    ends = [sum(map(len, FRAMED[:i])) for i in range(6)]
    number = sum(end <= place for end in ends[1:])
    in_length = place - ends[number] < 12
    found = read(bytes(data))
    lost = set(map(str, range(number, 5))) if in_length else {str(number)}
    assert {name: content for name, content in found.images.items() if isinstance(content, bytes)} == {
        name: content for name, content in IMAGES.items() if name not in lost
    }
    assert bool(found.damage) == in_length
    assert found.errors == ({} if in_length else {str(number): "DamagedMember"})
