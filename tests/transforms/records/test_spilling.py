"""Blocks that lie on disk while they are shuffled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

import transforms.records.spilling as spilling_module
from pipeline.options.beam import LOCAL_RUNNER
from transforms.records.blocks import LISTED, Sighting, pack, unpack
from transforms.records.spilling import MARK, get, put, spilling


@given(st.lists(st.binary(max_size=2000) | st.just(MARK), max_size=20))
def test_what_was_put_is_got(blocks: list[bytes]) -> None:
    assert [get(put(block)).to_pybytes() for block in blocks] == blocks
    with spilling():
        places = [put(block) for block in blocks]
        assert all(len(place) < 30 for place in places)
        assert [get(place).to_pybytes() for place in reversed(places)] == blocks[::-1]


def test_threads_do_not_mix_them_up() -> None:
    blocks = [bytes([i % 256]) * (i + 1) for i in range(2000)]
    with spilling(), ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda block: get(put(block)).to_pybytes(), blocks)) == blocks


def test_a_block_of_a_spool_that_is_gone_is_no_block() -> None:
    with spilling():
        place = put(b"block")
    with pytest.raises(RuntimeError, match="another process"):
        get(place)


def test_rows_cross_a_shuffle_that_holds_no_block() -> None:
    """The runner is given some 23 bytes of each."""
    rows = [Sighting(f"{i}.jpg", "1", LISTED, i) for i in range(1000)]
    sizes: list[int] = []
    with spilling():
        block = pack(rows)
        sizes.append(len(block))
        with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
            grouped = pipeline | beam.Create([(1, block)]) | beam.GroupByKey()
            _ = grouped | beam.MapTuple(lambda _, blocks: check(list(blocks), rows))
    assert sizes == [len(MARK) + 16]


def check(blocks: list[bytes], rows: list[Sighting]) -> None:
    assert [row for block in blocks for row in unpack(block)] == rows


def test_blocks_are_smaller_than_their_rows() -> None:
    rows = [Sighting(f"gs://bucket/folder/{i:09}.jpg", str(1_700_000_000_000_000 + i)) for i in range(1000)]
    assert 20 * len(pack(rows)) < 1000 * 300


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spilling_module, "open_spool", partial(open, "/dev/full", "w+b", 0))
    with spilling(), pytest.raises(OSError, match="name another folder in TMPDIR"):
        put(b"block")
