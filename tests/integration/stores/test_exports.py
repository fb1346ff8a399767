"""Exports from stores to stores: written, taken over by copies on their side, and searched there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import load_features
from pipeline.outputs.exports import current_export
from pipeline.runs.export import export
from tests.conftest import photo
from tests.integration.conftest import Server
from tests.integration.stores.test_stores import NAMES, put_images, run_on
from tests.pipeline.runs.test_export import make_config
from transforms.stores import filesystems, storage

pytestmark = pytest.mark.exports


def read(uri: str) -> io.BytesIO:
    return io.BytesIO(storage.read_bytes(uri))


def test_exports_in_a_store_are_those_of_its_records(server: Server, tmp_path: Path, tiny_module: str) -> None:
    put_images(server, tmp_path)
    output, to = server.uri("output"), server.uri("vectors")
    options: dict[str, Any] = {"input": server.uri("images"), "output": output, "incremental": True}
    run_on(server, tiny_module, run_id="one", shard_size=1, **options)
    config = make_config(output, to, "npy", storage_options=server.options)
    first = export(config)
    assert len(first.files) == len(NAMES)
    photo(60, 50, 99).save(tmp_path / "plain.jpg", quality=90)
    storage.write_bytes(server.uri("images/plain.jpg"), (tmp_path / "plain.jpg").read_bytes())
    filesystems.filesystem(output).rm_file(server.uri("images/with space.jpg"))
    run_on(server, tiny_module, run_id="two", shard_size=1, **options)
    second = export(config)
    assert second.manifest["counts"] == {"vectors": len(NAMES) - 1, "deleted": 0, "files_reused": 2 * (len(NAMES) - 2)}
    assert current_export(to) == second
    wanted = load_features(output)
    found = {}
    for uri in second.files:
        (row,) = pq.read_table(read(uri.removesuffix(".npy") + ".uris.parquet")).to_pylist()
        (found[row["uri"]],) = np.load(read(uri))
    assert found.keys() == set(wanted.uris)
    for uri, vector in zip(wanted.uris, wanted.vectors, strict=True):
        assert found[uri].tobytes() == vector.tobytes()
    assert export(config) == second
