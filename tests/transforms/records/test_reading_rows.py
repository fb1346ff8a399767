"""Some records of a shard, as Arrow: what has to hold, and that copies are what tfx-bsl decodes."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from transforms.elements import ImageInfo, ImageObject
from transforms.encoding import encode_examples
from transforms.records import tfrecord
from transforms.records.arrow import DamagedExampleError, ReadColumn, RecordReader, Spread, embeddings_of
from transforms.records.columns import with_columns
from transforms.records.examples import bytes_feature, entries, example, float_feature
from transforms.records.tfrecord import Block, DamagedRecordError, frame, read_rows
from transforms.records.vectors import Split, split_blocks
from transforms.stores.streams import BUFFER_BYTES

RECORDS = [bytes([65 + i]) * (10 + i) for i in range(12)]
FEATURES = 20


def shard_of(folder: Path, records: list[bytes], packed: bool = False) -> Path:
    path = folder / f"features-00000-of-00001.tfrecord{'.gz' if packed else ''}"
    data = b"".join(map(frame, records))
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("rows", [[], [0], [11], [2, 3, 4, 9], [*range(12)]])
@pytest.mark.parametrize("piece", [1, 13, 50, 1 << 19])
def test_the_records_in_some_rows(
    piece: int, rows: list[int], packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "READ_BYTES", piece)
    assert [*read_rows(str(shard_of(tmp_path, RECORDS, packed)), rows)] == [RECORDS[row] for row in rows]


def test_a_large_shard_is_read_ahead(tmp_path: Path) -> None:
    records = [b"x" * BUFFER_BYTES, b"y" * BUFFER_BYTES, b"z"]
    before, found = threading.active_count(), read_rows(str(shard_of(tmp_path, records)), [1, 2])
    assert next(found) == records[1]
    assert threading.active_count() == before + 1
    assert [*found] == records[2:]
    assert threading.active_count() == before


def test_what_is_wanted_has_to_hold_and_nothing_else(tmp_path: Path) -> None:
    path = shard_of(tmp_path, RECORDS)
    whole, starts = path.read_bytes(), np.cumsum([0, *(len(frame(record)) for record in RECORDS)]).tolist()

    def damaged(row: int) -> str:
        data = bytearray(whole)
        data[starts[row] + 12] ^= 1  # the first byte of its data
        path.write_bytes(data)
        return str(path)

    rows = [2, 3, 7]
    for row in range(12):
        if row in rows:
            with pytest.raises(DamagedRecordError, match=rf"{path}: record {row} at byte {starts[row]}: the checksum"):
                list(read_rows(damaged(row), rows))
        else:
            assert [*read_rows(damaged(row), rows)] == [RECORDS[row] for row in rows]
    path.write_bytes(whole[: starts[8]] + b"no records")
    assert [*read_rows(str(path), rows)] == [RECORDS[row] for row in rows]
    for end in (starts[7], starts[7] - 1, starts[7] + 3, 0):
        path.write_bytes(whole[:end])
        with pytest.raises(DamagedRecordError, match=rf"{path}: (it holds \d of the 3 records|record \d at byte)"):
            list(read_rows(str(path), rows))
    data = bytearray(whole)
    data[starts[4]] ^= 1  # a length, without which what follows is not found
    path.write_bytes(data)
    with pytest.raises(DamagedRecordError, match=r"record 4 at byte .*: the checksum of its length"):
        list(read_rows(str(path), rows))
    path.write_bytes(whole)
    for twice in ([2, 2, 3], [3, 2]):
        with pytest.raises(DamagedRecordError, match="one of its records more than once"):
            list(read_rows(str(path), twice))


def encoded(count: int, columns: str = "") -> list[bytes]:
    random = np.random.default_rng(count)
    vectors = random.integers(0, 1 << 32, (count, FEATURES), np.uint32).view(np.float32)  # of any bits
    infos = [
        ImageInfo(
            ImageObject(f"gs://bucket/写真{'x' * i}.jpg", i, f"v{i}", columns=columns), "JPEG", "0" * 64, 500, 300
        )
        for i in range(count)
    ]
    return encode_examples(infos, vectors)


def split_of(records: list[bytes], at_once: int = 0) -> Split:
    """What is made of records that lie in a file one after the other."""
    ends = np.cumsum([0, *map(len, records)]).tolist()
    block = Block(b"".join(records), list(pairwise(ends)))
    empty = Split(np.empty((0, 4 * FEATURES), np.uint8), [], [])
    return next(split_blocks([block], "image/embedding", FEATURES, at_once or len(records)), empty)


def left(records: list[bytes]) -> Split:
    """All of it left to tfx-bsl."""
    return Split(np.empty((0, 4 * FEATURES), np.uint8), [], records)


def both(columns: list[ReadColumn]) -> tuple[Callable[[list[bytes]], object], Callable[[list[bytes]], object]]:
    """What a reader gives, and what it gives where all is left to tfx-bsl: the batch, or what is wrong."""
    reader = RecordReader(FEATURES, columns)

    def told(split: Callable[[list[bytes]], Split]) -> Callable[[list[bytes]], object]:
        def read(examples: list[bytes]) -> object:
            try:
                batch = reader.batch(split(examples))
            except DamagedExampleError as e:
                return str(e)
            values = batch.column("embedding").flatten().to_numpy(zero_copy_only=False).tobytes()
            return batch.schema, values, batch.drop_columns("embedding").to_pylist()

        return read

    return told(split_of), told(left)


def is_copied(records: list[bytes]) -> bool:
    return RecordReader(FEATURES, [])._copied(split_of(records)) is not None


def test_vectors_that_are_copied_are_those_that_are_decoded() -> None:
    early = '{"a": 1}'
    columns = [ReadColumn("image/width", "int64"), ReadColumn("label", "int64", Spread(0, 1))]
    ours, theirs = both(columns)
    for records in (
        encoded(7),
        encoded(3, '{"label": 5}'),
        encoded(3, '{"a": 1}'),
        encoded(2) + encoded(2, '{"a": 1}'),
    ):
        assert ours(records) == theirs(records)
    assert is_copied(encoded(7))
    assert not is_copied(encoded(3, early))  # which stands before the vector


def test_records_of_others_are_left_to_tfx_bsl() -> None:
    ours, theirs = both([])
    (record,) = encoded(1)
    vector, *rest = [feature for _, feature in entries(record)]
    other = float_feature("image/embedding", np.arange(FEATURES, dtype="<f4").tobytes())
    short = float_feature("image/embedding", b"\0" * 4 * (FEATURES - 1))
    text = bytes_feature("image/embedding", b"x" * 4 * FEATURES)
    for features in (
        [*rest, vector], [vector, *rest, other], [vector, *rest, short], [vector], [short, *rest], rest, [text, *rest],
        [vector, *rest[:2]], [vector, *rest, bytes_feature("image/uri", b"another")],
    ):  # fmt: skip
        for records in ([example(*features)], [record, example(*features)], [example(*features), record]):
            assert ours(records) == theirs(records), features


def test_damage_is_the_same_damage() -> None:
    ours, theirs = both([])
    random = np.random.default_rng(5)
    records = encoded(3)
    refused = 0
    for _ in range(500):
        damaged = bytearray(records[1])
        place = random.choice([random.integers(40), random.integers(len(damaged))])
        damaged[place] = random.integers(256)
        one = bytes(damaged[: random.integers(len(damaged))] if random.integers(4) == 0 else damaged)
        found = ours([records[0], one])
        assert found == theirs([records[0], one])
        refused += isinstance(found, str)
    assert refused > 150


def test_columns_stand_where_they_belong() -> None:
    """What `with_columns` puts before the vector, and behind it, is read alike."""
    ours, theirs = both([ReadColumn("z", "text")])
    records = [with_columns(record, '{"z": "last"}') for record in encoded(4)]
    assert ours(records) == theirs(records)
    assert is_copied(records)


@pytest.mark.parametrize("piece", [64, 700, 1 << 19])
def test_batches_are_of_so_many_records_whoever_has_written_them(
    piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfrecord, "READ_BYTES", piece)
    records = encoded(7) + encoded(3, '{"a": 1}') + encoded(4)
    reader = RecordReader(FEATURES, [])
    batches = [*reader.read_rows(str(shard_of(tmp_path, records)), [*range(14)], 4)]
    assert [batch.num_rows for batch in batches] == [4, 4, 4, 2]
    assert [batch.drop_columns("embedding").to_pylist() for batch in batches] == [
        reader.batch(left(records[i : i + 4])).drop_columns("embedding").to_pylist() for i in (0, 4, 8, 12)
    ]
    vectors = [embeddings_of(batch).tobytes() for batch in batches]
    assert b"".join(vectors) == embeddings_of(reader.batch(left(records))).tobytes()


def test_batches_stay_what_they_are_while_others_are_read(tmp_path: Path) -> None:
    """Blocks of a file lie where those before them lay."""
    records = encoded(3000)
    reader = RecordReader(FEATURES, [])
    batches = [*reader.read_rows(str(shard_of(tmp_path, records)), [*range(3000)], 64)]
    found, expected = pa.Table.from_batches(batches), pa.Table.from_batches([reader.batch(left(records))])
    assert embeddings_of(found).tobytes() == embeddings_of(expected).tobytes()
    assert found.drop_columns("embedding").equals(expected.drop_columns("embedding"))


def test_nothing_is_read_of_nothing() -> None:
    assert RecordReader(FEATURES, []).batch(split_of([])).num_rows == 0
    assert RecordReader(FEATURES, []).batch(left([])).num_rows == 0
