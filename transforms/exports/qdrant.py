"""Qdrant: a point for every image, written by Beam's own sink (`apache_beam.ml.rag.ingestion.qdrant`).

A point's id is made of the image's uri, so whatever is written twice is there once. This page is imported only by
exports that go there: it needs the package `qdrant_client`.
"""

from __future__ import annotations

import base64
import math
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.ml.rag.ingestion.qdrant import QdrantConnectionParameters, QdrantWriteConfig, _QdrantWriteFn
from apache_beam.ml.rag.types import Content, EmbeddableItem, Embedding
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, PointIdsList, VectorParams

from transforms.records.arrow import EMBEDDING, URI, VERSION, embeddings_of

API_KEY = "QDRANT_API_KEY"  # the environment variable, of each worker
VECTOR = "dense"  # the vector's name in a point, which Beam's sink gives it
PATIENCE = 60  # seconds, for one answer; the client's own are 5
POINTS = 500  # that are asked for, or deleted, at once


class CollectionError(Exception):
    """A collection that cannot hold these vectors."""


class Connection(QdrantConnectionParameters):
    """Where a database is. The API key is the one of the process that asks, and never a part of this."""

    @property
    def api_key(self) -> str | None:
        """Of this process's environment."""
        return os.environ.get(API_KEY) or None

    @api_key.setter
    def api_key(self, _: str | None) -> None:
        """Beam's constructor sets it."""

    def __repr__(self) -> str:
        return f"Connection({self.url or self.path})"


@dataclass(frozen=True)
class Target:
    """A collection of a database.

    Attributes:
        database: an http or https URL, or a folder of Qdrant's embedded engine, which one client at a time can open.
        collection: its name there.
    """

    database: str
    collection: str

    @property
    def connection(self) -> Connection:
        """For Beam's sink."""
        if "://" in self.database:
            return Connection(url=self.database, timeout=PATIENCE)
        return Connection(path=self.database)

    @contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """A client as Beam's sink opens one, closed in the end."""
        asked = self.connection
        client = QdrantClient(
            url=asked.url, path=asked.path, api_key=asked.api_key, timeout=asked.timeout, check_compatibility=False
        )
        try:
            yield client
        finally:
            client.close()


class Sink(QdrantWriteConfig):
    """Beam's sink, but that it has a client for each bundle, and not one until the pipeline ends.

    What reads back and deletes comes after it, and the embedded engine is open to one client at a time.
    """

    def create_write_transform(self) -> beam.PTransform[EmbeddableItem, Any]:
        convert = beam.Map(self.create_converter())
        write: beam.PTransform[EmbeddableItem, Any] = "Convert" >> convert | "Write" >> beam.ParDo(_WriteBundles(self))
        return write


class _WriteBundles(_QdrantWriteFn):
    def setup(self) -> None:
        """Nothing yet."""

    def start_bundle(self) -> None:
        _QdrantWriteFn.setup(self)
        _QdrantWriteFn.start_bundle(self)

    def finish_bundle(self) -> None:
        _QdrantWriteFn.finish_bundle(self)
        _QdrantWriteFn.teardown(self)


def prepare(target: Target, size: int) -> int:
    """Makes a collection where there is none. Returns how many points it holds.

    Raises:
        CollectionError: it is made for other vectors.
    """
    with target.client() as client:
        name = target.collection
        if not client.collection_exists(name):
            client.create_collection(name, {VECTOR: VectorParams(size=size, distance=Distance.COSINE)})
        vectors = client.get_collection(name).config.params.vectors
        held = vectors if isinstance(vectors, Mapping) else {"": vectors}
        found = held.get(VECTOR)
        if len(held) != 1 or found is None or found.multivector_config:
            names = ", ".join(map(repr, sorted(held))) or "none"
            raise CollectionError(f"{name} is there, with vectors named {names}, not {VECTOR!r} alone")
        if (found.size, found.distance) != (size, Distance.COSINE):
            raise CollectionError(
                f"{name} is there, for vectors of {found.size} values and the distance {found.distance.value}; these "
                f"have {size}, for {Distance.COSINE.value}"
            )
        return points(client, name)


def points(client: QdrantClient, collection: str) -> int:
    """How many there are, exactly."""
    return client.count(collection, exact=True).count


def point_id(uri: str) -> str:
    """The id of an image's point."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, uri))


def items(batch: pa.RecordBatch) -> Iterator[EmbeddableItem]:
    """Rows of an Arrow batch (`arrow.schema_of`) as what Beam's sinks take."""
    rows = batch.select([name for name in batch.schema.names if name != EMBEDDING]).to_pylist()
    for row, vector in zip(rows, embeddings_of(batch), strict=True):
        yield EmbeddableItem(
            Content(image=row[URI]),
            point_id(row[URI]),
            metadata=payload(row),
            embedding=Embedding(dense_embedding=vector.tolist()),
        )


def payload(row: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON has of a row: bytes in base64; a column without a value, or with a number that is none, is left out."""
    found = {}
    for name, value in row.items():
        values = [_json(each) for each in (value if isinstance(value, list) else [value])]
        values = [each for each in values if each is not None]
        if values or isinstance(value, list):
            found[name] = values if isinstance(value, list) else values[0]
    return found


def found(client: QdrantClient, collection: str, versions: Mapping[str, str]) -> int:
    """How many of these images, by uri, have a point of this version."""
    held = client.retrieve(collection, [point_id(uri) for uri in versions], with_payload=[URI, VERSION])
    told = {record.payload[URI]: record.payload.get(VERSION) for record in held if record.payload}
    return sum(uri in told and told[uri] == version for uri, version in versions.items())


def delete(client: QdrantClient, collection: str, uris: Sequence[str]) -> int:
    """Deletes the points of images that are gone, whether there are some or not. Returns of how many there is none."""
    ids = [point_id(uri) for uri in uris]
    client.delete(collection, PointIdsList(points=[*ids]))
    return len(ids) - len(client.retrieve(collection, ids, with_payload=False))


def _json(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return None if isinstance(value, float) and not math.isfinite(value) else value
