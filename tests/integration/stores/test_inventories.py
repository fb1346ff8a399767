"""Manifests that tell versions, as inventories of buckets do: nights know what is unchanged, and read what is meant."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.outputs.dataset import read_ledger
from tests.conftest import Run, photo
from tests.integration.conftest import Server
from transforms.elements import ImageObject
from transforms.stores import filesystems, storage

pytestmark = pytest.mark.stores

COUNT = 6
GIVEN = {"version_column": "version", "size_column": "size", "updated_column": "updated", "incremental": True}


def put(server: Server, number: int, seed: int) -> ImageObject:
    encoded = io.BytesIO()
    photo(40, 30, seed).save(encoded, "JPEG", quality=90)
    uri = server.uri(f"photos/{number}.jpg")
    storage.write_bytes(uri, encoded.getvalue())
    filesystems.filesystem(uri).invalidate_cache()
    return storage.describe(uri)


def inventory(folder: Path, images: list[ImageObject]) -> str:
    path = folder / "inventory.csv"
    with path.open("w", newline="") as file:
        rows = [[image.uri, image.size, image.version, image.updated] for image in images]
        csv.writer(file).writerows([["uri", "size", "version", "updated"], *rows])
    return str(path)


@pytest.fixture
def night(server: Server, run_pipeline: Run, tmp_path: Path) -> Callable[..., Any]:
    def run_it(run_id: str, images: list[ImageObject]) -> Any:
        report = run_pipeline(input=inventory(tmp_path, images), run_id=run_id, storage_options=server.options, **GIVEN)
        ledgers = [read_ledger(f"{report.folder}/{each['path']}") for each in report.manifest["ledgers"]]
        return report.manifest["counts"], {row["uri"]: row for ledger in ledgers for row in ledger.to_pylist()}

    return run_it


def test_a_night_over_an_inventory_embeds_what_has_changed(server: Server, night: Callable[..., Any]) -> None:
    images = [put(server, number, number) for number in range(COUNT)]
    counts, rows = night("1", images)
    assert (counts["embedded"], counts["unchanged"]) == (COUNT, 0)
    assert {row["version"] for row in rows.values()} == {image.version for image in images}
    counts, _ = night("2", images)
    assert (counts["embedded"], counts["unchanged"], counts["deleted"]) == (0, COUNT, 0)
    images[0] = put(server, 0, 100)
    counts, rows = night("3", images)
    assert (counts["embedded"], counts["unchanged"]) == (1, COUNT - 1)
    assert rows[images[0].uri]["version"] == images[0].version


@pytest.mark.parametrize("server", ["s3"], indirect=True)  # the emulator of gs:// has every generation's name for one
def test_an_inventory_of_yesterday_reads_what_is_there_now_and_says_so(
    server: Server, night: Callable[..., Any]
) -> None:
    images = [put(server, number, number) for number in range(COUNT)]
    now = put(server, 1, 101)
    counts, rows = night("1", images)
    assert counts["embedded"] == COUNT
    assert (rows[now.uri]["version"], rows[now.uri]["listed_version"]) == (now.version, images[1].version)
    assert rows[now.uri]["size"] == now.size
    images[1] = now
    counts, _ = night("2", images)
    assert counts["unchanged"] == COUNT
