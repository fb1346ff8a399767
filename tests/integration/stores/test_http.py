"""Images behind a web server, named by a manifest."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.outputs.dataset import load_features
from pipeline.outputs.verify import verify_output
from tests.conftest import Run, photo


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A web server's address, and the folder that it serves."""
    folder = tmp_path / "site"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


def test_images_of_a_web_server(site: tuple[str, Path], tmp_path: Path, run_pipeline: Run) -> None:
    address, folder = site
    for i in range(5):
        photo(40, 30, i).save(folder / f"{i} %.png")
    uris = [f"{address}/{i}%20%25.png" for i in range(5)]
    manifest = tmp_path / "images.txt"
    manifest.write_text("\n".join([*uris, f"{address}/gone.png"]) + "\n")
    report = run_pipeline(input=str(manifest), run_id="web")
    assert report.manifest["counts"]["failed_by_error"] == {"NotFound": 1}
    found, vectors = load_features(report.folder)
    assert sorted(found) == uris
    local_uris, local = load_features(run_pipeline(input=str(folder), run_id="local").folder)
    assert vectors[sorted(range(5), key=found.__getitem__)].tobytes() == (
        local[sorted(range(5), key=local_uris.__getitem__)].tobytes()
    )
    assert verify_output(str(tmp_path / "output")).holds
