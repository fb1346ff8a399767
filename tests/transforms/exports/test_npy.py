"""NumPy's files: what NumPy reads, and a header that is true."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from tests.transforms.exports.test_pages import FEATURES, batch
from transforms.exports import npy
from transforms.records.arrow import embeddings_of
from transforms.stores.spooling import Spools


def test_numpy_reads_what_was_written(tmp_path: Path) -> None:
    batches = [batch(3), batch(700)]
    with Spools(str(tmp_path)) as spools:
        (name, vectors), (beside, _) = npy.write(iter(batches), batches[0].schema, 703, spools)
        vectors.flush()
        with open(f"/dev/fd/{vectors.fileno()}", "rb") as file:
            found = np.load(io.BytesIO(file.read()))
    assert (name, beside) == (".npy", ".uris.parquet")
    np.testing.assert_array_equal(found, np.concatenate([embeddings_of(each) for each in batches]))
    assert found.shape == (703, FEATURES)


@pytest.mark.parametrize("rows", [2, 4])
def test_another_number_of_vectors_than_the_header_tells_is_none(rows: int, tmp_path: Path) -> None:
    with Spools(str(tmp_path)) as spools, pytest.raises(ValueError, match=f"3 vectors in a file of {rows}"):
        list(npy.write(iter([batch(3)]), batch(3).schema, rows, spools))
