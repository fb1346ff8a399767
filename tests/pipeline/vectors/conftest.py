"""Commands of this chapter, typed, and exports that are made for its tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.search import save_export, save_run
from pipeline.cli import main
from pipeline.vectors.scoring import Hit, cosines_to
from transforms.records import arrow

Typed = Callable[..., tuple[object, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    """Types a command in this process: its exit status, stdout and stderr."""
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business

    def type_it(*arguments: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        said = capsys.readouterr()
        return exited.value.code, said.out, said.err

    return type_it


Made = Callable[..., tuple[str, str]]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Exports vectors that were never embedded: (output, folder of exports)."""

    def make(format: str, uris: list[str], vectors: np.ndarray, size: int) -> tuple[str, str]:
        schema = arrow.schema_of(vectors.shape[1], [])

        def batch(start: int) -> pa.RecordBatch:
            part = vectors[start : start + size]
            lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
            embeddings = lists.cast(schema.field(arrow.EMBEDDING).type)
            columns = [pa.array(uris[start : start + size]), pa.array(["1"] * len(part)), embeddings]
            return pa.RecordBatch.from_arrays(columns, schema=schema)

        batches = [batch(start) for start in range(0, len(uris), size)]
        run = save_run(tmp_path / "output", vectors.shape[1])
        shards = [(sum(each.num_rows for each in some), some) for some in (batches[::2], batches[1::2])]
        save_export(tmp_path / "to", format, shards, schema, [run])
        return str(tmp_path / "output"), str(tmp_path / "to")

    return make


def all_cosines(uris: list[str], vectors: np.ndarray, query: int, k: int) -> list[Hit]:
    """The nearest of all others, by the cosines of all in float64."""
    cosines = cosines_to(vectors[query], vectors).tolist()
    found = sorted(zip(uris, cosines, strict=True), key=lambda each: (-each[1], each[0]))
    return [Hit(uri, cosine, {"version": "1"}) for uri, cosine in found if uri != uris[query]][:k]
