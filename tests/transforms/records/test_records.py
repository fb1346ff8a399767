"""Records as others read them: tf.Examples in TFRecord files, against TensorFlow's own readers."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.elements import ImageInfo, ImageObject
from transforms.encoding import encode_examples
from transforms.records.tfrecord import DamagedRecordError, frame, read_records

RECORDS = [b"", b"a", b"\0" * 20, bytes(range(256)) * 9]


def test_tensorflow_reads_what_is_framed_and_the_other_way_round(tmp_path: Path) -> None:
    import tensorflow as tf

    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(b"".join(map(frame, RECORDS)))
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for record in RECORDS:
            writer.write(record)
    assert ours.read_bytes() == theirs.read_bytes()
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(ours))] == RECORDS


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_records_round_trip(records: list[bytes]) -> None:
    assert list(read_records(io.BytesIO(b"".join(map(frame, records))))) == records


@settings(max_examples=200)
@given(data=st.data())
def test_any_damage_is_found_and_named(data: st.DataObject) -> None:
    records = data.draw(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6))
    framed = b"".join(map(frame, records))
    position = data.draw(st.integers(0, len(framed) - 1))
    if data.draw(st.booleans()):
        damaged = (
            framed[:position] + bytes([framed[position] ^ data.draw(st.integers(1, 255))]) + framed[position + 1 :]
        )
    else:
        damaged = framed[:position]
    ends = np.cumsum([len(frame(record)) for record in records]).tolist()
    if damaged == framed[: len(damaged)] and len(damaged) in (0, *ends):
        return  # cut between two records: only a count of records can tell
    index = int(np.searchsorted(ends, position, side="right"))
    read: list[bytes] = []
    with pytest.raises(DamagedRecordError, match=f"^record {index} at byte {([0, *ends])[index]}: "):
        read.extend(read_records(io.BytesIO(damaged)))
    assert read == records[:index]


def info(i: int) -> ImageInfo:
    source = ImageObject(f"gs://bucket/写真 {i}.jpg", 1000 + i, f"generation-{i}", 1.5)
    return ImageInfo(source, "JPEG", f"{i:064x}", 640 + i, 480)


def test_examples_hold_every_field_as_tensorflow_parses_them() -> None:
    import tensorflow as tf

    vectors = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    examples = encode_examples([info(i) for i in range(5)], vectors)
    assert len(examples) == 5
    for i, example in enumerate(examples):
        features = tf.train.Example.FromString(example).features.feature
        assert set(features) == {
            "image/uri", "image/version", "image/format", "image/key/sha256",
            "image/width", "image/height", "image/embedding",
        }  # fmt: skip
        assert features["image/uri"].bytes_list.value[:] == [f"gs://bucket/写真 {i}.jpg".encode()]
        assert features["image/version"].bytes_list.value[:] == [f"generation-{i}".encode()]
        assert features["image/format"].bytes_list.value[:] == [b"JPEG"]
        assert features["image/key/sha256"].bytes_list.value[:] == [f"{i:064x}".encode()]
        assert features["image/width"].int64_list.value[:] == [640 + i]
        assert features["image/height"].int64_list.value[:] == [480]
        np.testing.assert_array_equal(np.array(features["image/embedding"].float_list.value, np.float32), vectors[i])


@settings(deadline=None)  # the first one imports TensorFlow
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=4, max_size=4),
    sides=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 300)),
    dim=st.sampled_from([1, 31, 32, 4095, 4096, 70_000]),
)
def test_examples_are_those_of_tensorflow_byte_for_byte(texts: list[str], sides: tuple[int, int], dim: int) -> None:
    """Its deterministic serialization, which orders the features by name; of lengths on both sides of each varint's."""
    import tensorflow as tf

    uri, version, kind, sha256 = texts
    width, height = sides
    vector = np.arange(dim, dtype=np.float32) - 3.5
    (ours,) = encode_examples([ImageInfo(ImageObject(uri, 1, version), kind, sha256, width, height)], vector[None])
    theirs = tf.train.Example()
    features = theirs.features.feature
    values = {"image/uri": uri, "image/version": version, "image/format": kind, "image/key/sha256": sha256}
    for name, value in values.items():
        features[name].bytes_list.value.append(value.encode())
    features["image/width"].int64_list.value.append(width)
    features["image/height"].int64_list.value.append(height)
    features["image/embedding"].float_list.value.extend(vector)
    assert ours == theirs.SerializeToString(deterministic=True)


def test_examples_are_read_by_the_parsers_of_tensorflow_and_tfx_bsl() -> None:
    import tensorflow as tf
    from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

    vectors = np.random.default_rng(1).normal(size=(5, 7)).astype(np.float32)
    examples = encode_examples([info(i) for i in range(5)], vectors)
    embedding, width = tf.io.FixedLenFeature([7], tf.float32), tf.io.FixedLenFeature([], tf.int64)
    parsed = tf.io.parse_example(examples, {"image/embedding": embedding, "image/width": width})
    np.testing.assert_array_equal(parsed["image/embedding"].numpy(), vectors)
    assert parsed["image/width"].numpy().tolist() == [640, 641, 642, 643, 644]
    batch = ExamplesToRecordBatchDecoder().DecodeBatch(examples)
    assert batch["image/embedding"].to_pylist() == vectors.tolist()
    assert batch["image/width"].to_pylist() == [[640], [641], [642], [643], [644]]
