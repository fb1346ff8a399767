"""Images behind signed URLs: asked for with their queries, and with `--strip_query` called without them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from aiohttp import web

from pipeline.outputs.dataset import read_dead_letters
from pipeline.outputs.verify import verify_output
from tests.conftest import Run, photo
from tests.reading import run_vectors
from tests.web import serving

CANARY = "CANARY0123456789"


async def signed(request: web.Request) -> web.Response:
    """An image for whom has the signature; an old one is refused."""
    if CANARY not in request.query.get("sig", ""):
        return web.Response(status=403)
    data = io.BytesIO()
    photo(50, 40).save(data, "JPEG")
    return web.Response(body=data.getvalue(), headers={"ETag": '"one"'})


@pytest.mark.parametrize("strip", [True, False])
def test_a_query_is_asked_for_and_not_told(strip: bool, tmp_path: Path, run_pipeline: Run) -> None:
    manifest = tmp_path / "list.txt"
    with serving({"/a.jpg": signed, "/b.jpg": signed}) as site:
        manifest.write_text(f"{site.url}/a.jpg?sig={CANARY}\n{site.url}/b.jpg?sig=old\n")
        report = run_pipeline(input=str(manifest), strip_query=strip)
    assert report.manifest["counts"]["failed_by_error"] == {"PermissionDenied": 1}
    (letter,) = read_dead_letters(f"{report.folder}/dead_letters-00000-of-00001.jsonl")
    assert "?" not in letter["message"]
    assert run_vectors(report.folder)[0] == [f"{site.url}/a.jpg" + ("" if strip else f"?sig={CANARY}")]
    assert letter["uri"] == f"{site.url}/b.jpg" + ("" if strip else "?sig=old")
    files = [path for path in Path(report.folder).iterdir() if path.is_file()]
    assert strip == (not any(CANARY.encode() in path.read_bytes() for path in files))
    assert verify_output(str(tmp_path / "output")).holds


def test_the_image_of_another_signature_is_the_same_one(tmp_path: Path, run_pipeline: Run) -> None:
    manifest = tmp_path / "list.txt"
    with serving({"/a.jpg": signed}) as site:
        manifest.write_text(f"{site.url}/a.jpg?sig={CANARY}1\n{site.url}/a.jpg?sig={CANARY}2\n")
        report = run_pipeline(input=str(manifest), strip_query=True)
        assert report.manifest["counts"]["listed"] == report.manifest["counts"]["embedded"] == 1
