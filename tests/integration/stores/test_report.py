"""A report of an output in a store, written into it, with pictures out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.report.page import as_page, write_report
from pipeline.report.report import make_report
from tests.integration.conftest import Server, clear
from tests.integration.stores.test_stores import NAMES, put_images, run_on
from tests.pipeline.report.reading import Page
from transforms.stores import storage

pytestmark = pytest.mark.stores


def test_a_report_of_a_store_lies_in_it(server: Server, tmp_path: Path, tiny_module: str) -> None:
    put_images(server, tmp_path)
    output, to = server.uri("output"), server.uri("pages/report.html")
    run_on(server, tiny_module, input=server.uri("images"), output=output, run_id="one")
    write_report(make_report(output, projection="pca"), to)
    page = Page(storage.read_bytes(to).decode())
    pictures = page.data["map-data"]["pictures"]
    assert len(pictures) == len(page.data["map-data"]["uris"]) == len(NAMES)
    assert {why for _, _, why in pictures.values()} == {""}
    assert page.data["figures"]["outcomes"]["parts"] == {"embedded": len(NAMES), "failed": 0}
    clear(server.uri("images"))
    gone = Page(as_page(make_report(output, projection="pca")))
    assert {why for _, _, why in gone.data["map-data"]["pictures"].values()} == {
        "the object is gone, or was never there"
    }
