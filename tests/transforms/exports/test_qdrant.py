"""What a point is made of, and where the key is."""

from __future__ import annotations

import json
import uuid
from typing import Any

import cloudpickle
import numpy as np
import pyarrow as pa
import pytest
from qdrant_client import QdrantClient

from transforms.exports import qdrant
from transforms.exports.qdrant import Sink, Target
from transforms.records.arrow import ReadColumn, Spread, schema_of

KEY = "k3y-of-the-database-0123456789"


@pytest.mark.parametrize("database", ["https://qdrant.example:6333", "/a/folder"])
def test_the_key_is_the_one_of_the_process_that_asks(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    sink = Sink(Target(database, "images").connection, "images")
    transform = sink.create_write_transform()
    sent = cloudpickle.dumps((sink, transform))
    assert b"images" in sent
    assert KEY.encode() not in sent
    assert KEY not in repr(sink)
    assert KEY not in repr(transform.display_data())
    monkeypatch.setenv("QDRANT_API_KEY", "of-the-worker")
    there = cloudpickle.loads(cloudpickle.dumps(sink))
    assert there.connection_params.api_key == "of-the-worker"
    monkeypatch.delenv("QDRANT_API_KEY")
    assert there.connection_params.api_key is None


def test_a_server_is_asked_with_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", KEY)
    with Target("https://qdrant.example/prefix", "images").client() as client:
        assert isinstance(client, QdrantClient)
        assert client.init_options["api_key"] == KEY
        assert client.init_options["timeout"] == 60


def test_an_image_has_the_same_id_for_ever() -> None:
    assert qdrant.point_id("gs://bucket/a.jpg") == str(uuid.uuid5(uuid.NAMESPACE_URL, "gs://bucket/a.jpg"))
    assert qdrant.point_id("gs://bucket/a.jpg") == "a84536c8-b1cb-5de8-9cd3-1721819a6a54"


def test_a_point_is_json() -> None:
    columns = [
        ReadColumn("code", "bytes", Spread(0, 1)),
        ReadColumn("price", "float", Spread(0, 2)),
        ReadColumn("label", "int64", Spread(0, 1)),
    ]
    rows: list[dict[str, Any]] = [
        {"uri": "a", "version": "1", "code": b"\xff\x00", "price": [0.5, float("nan")], "label": None},
        {"uri": "b", "version": "", "code": None, "price": [], "label": 3},
    ]
    vectors = np.float32([[0.1, 1e-30], [3, 4]])
    for row, vector in zip(rows, vectors, strict=True):
        row["embedding"] = vector
    batch = pa.RecordBatch.from_pylist(rows, schema=schema_of(2, columns))
    convert = Sink(Target("/a/folder", "images").connection, "images").create_converter()
    points = [json.loads(convert(item).model_dump_json()) for item in qdrant.items(batch)]
    assert [point["payload"] for point in points] == [
        {"uri": "a", "version": "1", "code": "/wA=", "price": [0.5]},
        {"uri": "b", "version": "", "price": [], "label": 3},
    ]
    assert [point["id"] for point in points] == [qdrant.point_id("a"), qdrant.point_id("b")]
    np.testing.assert_array_equal(np.float32([point["vector"]["dense"] for point in points]), vectors)
