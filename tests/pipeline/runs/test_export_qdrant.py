"""Exports into Qdrant's embedded engine, read by its own client and held against the records as TensorFlow has them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, Record, VectorParams

from pipeline.errors import RunError
from pipeline.options.config import ExportConfig
from pipeline.outputs.exports import PublishedExport, current_export
from pipeline.runs.export import export
from tests.conftest import TINY_FEATURES, make_third_night, make_two_nights
from tests.pipeline.commands.typed import command
from tests.reading import newest_records, records

pytestmark = pytest.mark.exports
COLUMNS = ("image/class/label", "price", "caption", "tags", "scores")
SECRET = "k3y-of-the-database-0123456789"  # noqa: S105


def make_export(output: Path, folder: Path, **options: Any) -> PublishedExport:
    """Into the collection `images` of `folder/db`, noted in `folder/to`."""
    given = {"run_id": "", "columns": None, "complete": False, "storage_options": {}, "collection": "images"}
    given |= {"output": str(output), "to": str(folder / "to"), "format": "qdrant", "database": str(folder / "db")}
    return export(ExportConfig(**(given | options)))


@contextmanager
def opened(folder: Path) -> Iterator[QdrantClient]:
    client = QdrantClient(path=str(folder / "db"))
    yield client
    client.close()


def held(folder: Path, collection: str = "images") -> dict[str, Record]:
    """All points, by the names of their images."""
    with opened(folder) as client:
        points, more = client.scroll(collection, limit=1000, with_vectors=True)
    assert more is None
    found = {Path(point.payload["uri"]).name: point for point in points if point.payload}
    assert len(found) == len(points)
    return found


def check(points: dict[str, Record], wanted: dict[str, dict[str, list[Any]]]) -> None:
    """That they are these records: ids, directions, payloads, and no other."""
    assert points.keys() == wanted.keys()
    for name, record in wanted.items():
        point = points[name]
        uri = record["image/uri"][0].decode()
        assert point.id == str(uuid.uuid5(uuid.NAMESPACE_URL, uri))
        assert isinstance(point.vector, dict)
        assert point.vector.keys() == {"dense"}
        np.testing.assert_allclose(unit(point.vector["dense"]), unit(record["image/embedding"]), rtol=0, atol=1e-6)
        assert point.payload is not None
        payload = dict(point.payload)
        assert (payload.pop("uri"), payload.pop("version")) == (uri, record["image/version"][0].decode())
        told = {name: value if isinstance(value, list) else [value] for name, value in payload.items()}
        assert {name: values for name, values in told.items() if values} == {
            column: [value.decode() if isinstance(value, bytes) else value for value in record[column]]
            for column in COLUMNS
            if record.get(column)
        }


def unit(values: Any) -> np.ndarray:
    """A server gives back vectors of length 1; the embedded engine, opened anew, gives them as they were written."""
    vector = np.asarray(values, np.float64)
    direction: np.ndarray = vector / np.linalg.norm(vector)
    return direction


def after_three_nights(folder: Path) -> dict[str, dict[str, list[Any]]]:
    wanted = newest_records(folder / "output") | records(folder / "output", "night-3")
    del wanted["01.jpg"]
    return wanted


def test_the_collection_is_what_is_newest(two_nights: Path, tmp_path: Path) -> None:
    published = make_export(two_nights / "output", tmp_path)
    check(held(tmp_path), newest_records(two_nights / "output"))
    assert published.manifest["counts"] == {"vectors": 12, "deleted": 1, "files_reused": 0, "points": 12}
    assert published.manifest["files"] == []
    assert {path.name for path in Path(published.folder).iterdir()} == {"_EXPORT", "_SUCCESS"}
    assert current_export(str(tmp_path / "to")) == published


def test_neighbours_are_those_of_brute_force(two_nights: Path, tmp_path: Path) -> None:
    make_export(two_nights / "output", tmp_path)
    wanted = newest_records(two_nights / "output")
    names = sorted(wanted)
    directions = np.stack([unit(wanted[name]["image/embedding"]) for name in names])
    cosines = directions @ directions.T
    with opened(tmp_path) as client:
        for row, name in enumerate(names):
            asked = wanted[name]["image/embedding"]
            found = client.query_points("images", asked, using="dense", limit=4).points
            order = np.argsort(-cosines[row], kind="stable")[:4]
            assert [Path(point.payload["uri"]).name for point in found if point.payload] == [names[i] for i in order]
            np.testing.assert_allclose([point.score for point in found], cosines[row][order], rtol=0, atol=1e-6)


def test_night_after_night(tmp_path: Path, tiny_module: str) -> None:
    """What has changed is upserted, what is gone deleted, and nothing else touched; then there is nothing to do."""
    output = make_two_nights(tmp_path, tiny_module) / "output"
    make_export(output, tmp_path)
    mark(tmp_path, "07.jpg")
    make_third_night(tmp_path, tiny_module, "night-3")
    second = make_export(output, tmp_path)
    assert second.by_changes
    changed = records(output, "night-3")
    assert "07.jpg" not in changed
    assert (second.manifest["counts"]["vectors"], second.manifest["counts"]["deleted"]) == (len(changed), 1)
    found, wanted = held(tmp_path), after_three_nights(tmp_path)
    assert (found["07.jpg"].payload or {}).pop("mark") == "untouched"
    check(found, wanted)

    mark(tmp_path, "08.jpg")
    assert make_export(output, tmp_path) == second
    assert (held(tmp_path)["08.jpg"].payload or {})["mark"] == "untouched"
    complete = make_export(output, tmp_path, complete=True)
    assert not complete.by_changes
    check(held(tmp_path), wanted)


def mark(folder: Path, name: str) -> None:
    """Something at a point that an upsert would take away."""
    point = held(folder)[name]
    with opened(folder) as client:
        client.set_payload("images", {"mark": "untouched"}, [point.id])


def test_all_is_exported_to_another_collection_and_to_one_made_anew(two_nights: Path, tmp_path: Path) -> None:
    output, wanted = two_nights / "output", newest_records(two_nights / "output")
    make_export(output, tmp_path)
    other = make_export(output, tmp_path, collection="others")
    assert not other.by_changes
    check(held(tmp_path, "others"), wanted)
    with opened(tmp_path) as client:
        client.delete_collection("others")
    make_export(output, tmp_path, collection="others")
    check(held(tmp_path, "others"), wanted)


KILLED = """\
import os, signal
from transforms.stores import storage

def kill(*args, **options):
    os.kill(os.getpid(), signal.SIGKILL)

storage.write_bytes = kill

from pipeline.cli import program
program()
"""


def test_a_kill_before_the_publication_doubles_nothing(tmp_path: Path, tiny_module: str) -> None:
    output = make_two_nights(tmp_path, tiny_module) / "output"
    first = make_export(output, tmp_path)
    make_third_night(tmp_path, tiny_module, "night-3")
    given = ["export", str(output), f"--to={tmp_path}/to", "--format=qdrant", f"--database={tmp_path}/db"]
    given += ["--collection=images"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *given], check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert current_export(str(tmp_path / "to")) == first
    check(held(tmp_path), after_three_nights(tmp_path))
    done = command(*given)
    assert done.returncode == 0, done.stderr
    second = current_export(str(tmp_path / "to"))
    assert second is not None
    assert second.by_changes
    check(held(tmp_path), after_three_nights(tmp_path))


def test_a_collection_of_other_vectors_is_refused(two_nights: Path, tmp_path: Path) -> None:
    dense = {"dense": VectorParams(size=TINY_FEATURES, distance=Distance.COSINE)}
    with opened(tmp_path) as client:
        client.create_collection("size", {"dense": VectorParams(size=TINY_FEATURES + 1, distance=Distance.COSINE)})
        client.create_collection("distance", {"dense": VectorParams(size=TINY_FEATURES, distance=Distance.DOT)})
        client.create_collection("name", {"clip": dense["dense"]})
        client.create_collection("unnamed", dense["dense"])
        client.create_collection("more", {**dense, "clip": dense["dense"]})
    for collection, said in (
        ("size", f"for vectors of {TINY_FEATURES + 1} values and the distance Cosine; these have {TINY_FEATURES}"),
        ("distance", "the distance Dot; these have"),
        ("name", "with vectors named 'clip', not 'dense' alone; give another name"),
        ("unnamed", "with vectors named ''"),
        ("more", "with vectors named 'clip', 'dense', not"),
    ):
        with pytest.raises(RunError, match=f"--collection: {collection} is there, .*{said}"):
            make_export(two_nights / "output", tmp_path, collection=collection)
        assert held(tmp_path, collection) == {}
    assert not (tmp_path / "to").exists()


def test_points_that_the_database_has_not_kept_are_not_published(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = QdrantClient.upsert
    monkeypatch.setattr(
        QdrantClient, "upsert", lambda self, points, **options: upsert(self, points=points[:-1], **options)
    )
    with pytest.raises(RunError, match=r"12 vectors were written but \d+ are found in the collection: not publishing"):
        make_export(two_nights / "output", tmp_path)
    assert current_export(str(tmp_path / "to")) is None


def test_points_that_are_not_deleted_are_not_published(
    tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = make_two_nights(tmp_path, tiny_module) / "output"
    first = make_export(output, tmp_path)
    make_third_night(tmp_path, tiny_module, "night-3")
    monkeypatch.setattr(QdrantClient, "delete", lambda *args, **options: None)
    with pytest.raises(RunError, match=r"1 deletions were chosen but \d+ and 0 written: not publishing"):
        make_export(output, tmp_path)
    assert current_export(str(tmp_path / "to")) == first


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a client that is refused
def test_an_open_database_and_workers_elsewhere_are_refused(two_nights: Path, tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(RunError, match="already accessed by another instance of Qdrant"):
        make_export(two_nights / "output", tmp_path)
    with pytest.raises(RunError, match="embedded engine opens for one process; give the URL of a server"):
        make_export(two_nights / "output", tmp_path, beam_args=["--direct_running_mode=multi_processing"])


def test_without_the_package_a_sentence_says_what_brings_it(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.runs.export.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"--format qdrant: .* `pip install 'embed-images\[qdrant\]'` brings it"):
        make_export(two_nights / "output", tmp_path)


def test_the_command_and_its_key(two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QDRANT_API_KEY", SECRET)
    given = ["export", f"{two_nights}/output", f"--to={tmp_path}/to", "--format=qdrant"]
    done = command(*given, f"--database={tmp_path}/db", "--collection=images", "--verbose")
    assert done.returncode == 0, done.stderr
    (folder,) = (path for path in (tmp_path / "to").iterdir() if path.is_dir())
    assert done.stdout == f"12 vectors, 1 of images that are gone, in {folder}\n"
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 4
    for shown in (done.stdout.encode(), done.stderr.encode(), *files):
        assert SECRET.encode() not in shown
    unreachable = command(*given, "--database=http://127.0.0.1:9", "--collection=images")
    assert (unreachable.returncode, SECRET in unreachable.stderr) == (1, False)
    assert unreachable.stderr.startswith("embed-images: the run cannot start: ")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--database=db"], "--collection: '' is not allowed"),
        (["--database=db", "--collection=../x"], "--collection: '../x' is not allowed"),
        (["--collection=images"], "--database: '' is not allowed: give an http or https URL, or a folder"),
        (["--collection=images", "--database=gs://b/db"], "--database: 'gs://b/db' is not allowed"),
        (["--collection=images", f"--database=https://u:{SECRET}@h"], "--database: not allowed: give the URL alone"),
        (["--collection=images", f"--database=https://h?k={SECRET}"], "--database: not allowed: give the URL alone"),
        (["--format=npy", "--collection=images"], "--collection: not allowed: --format npy is files; it is for qdrant"),
    ],
)
def test_what_is_typed_wrong(tmp_path: Path, options: list[str], said: str) -> None:
    result = command("export", str(tmp_path), f"--to={tmp_path}/to", "--format=qdrant", *options)
    assert result.returncode == 2
    assert said in result.stderr
    assert SECRET not in result.stderr
    assert os.listdir(tmp_path) == []
