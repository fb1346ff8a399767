"""Images behind a web server, named by a manifest."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from pipeline.outputs.dataset import read_dead_letters
from pipeline.outputs.verify import verify_output
from tests.conftest import Run, photo
from tests.reading import run_vectors
from tests.web import body, pieces, serving, status
from transforms import groups
from transforms.stores import fetching


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    photo(40, 30, seed).save(file, "PNG")
    return file.getvalue()


def test_images_of_a_web_server(tmp_path: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be had is embedded, with the vectors of the same files on a disk; all else has its true reason."""
    monkeypatch.setattr(fetching, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(fetching, "LONGEST_WAIT_SECONDS", 0.02)
    (tmp_path / "local").mkdir()
    for i in range(5):
        (tmp_path / f"local/{i} %.png").write_bytes(encoded(i))
    good = {f"/{i} %.png": body(encoded(i)) for i in range(4)}
    # More refusals than the launch's own look at the first images meets.
    good["/4 %.png"] = status(503, 3, encoded(4))
    bad = {
        "/forbidden.png": (status(403, 99), "PermissionDenied"),
        "/failing.png": (status(500, 99), "FetchFailed"),
        "/gone.png": (status(410, 99), "NotFound"),
        "/endless.png": (pieces([encoded(0), *[bytes(1 << 16)] * 999]), "ObjectTooLarge"),
        "/page.png": (body(b"<html>root:x:0:0</html>"), "NotAnImage"),
    }
    with serving(good | {path: answer for path, (answer, _) in bad.items()}) as site:
        uris = [f"{site.url}/{i}%20%25.png" for i in range(5)]
        dead = {f"{site.url}{path}": error for path, (_, error) in bad.items()} | {
            "http://127.0.0.1:1/x": "FetchFailed"
        }
        manifest = tmp_path / "images.txt"
        manifest.write_text("\n".join([*uris, *dead]) + "\n")
        report = run_pipeline(input=str(manifest), run_id="web", max_object_bytes="1MiB", max_failure_rate=0.9)
        assert {request.method for request in site.requests} == {"GET"}
    found, vectors = run_vectors(report.folder)
    assert sorted(found) == uris
    letters = read_dead_letters(f"{report.folder}/dead_letters-00000-of-00001.jsonl")
    assert {letter["uri"]: letter["error"] for letter in letters} == dead
    assert "root" not in str(letters)
    local_uris, local = run_vectors(run_pipeline(input=str(tmp_path / "local"), run_id="local").folder)
    assert vectors[sorted(range(5), key=found.__getitem__)].tobytes() == (
        local[sorted(range(5), key=local_uris.__getitem__)].tobytes()
    )
    assert verify_output(str(tmp_path / "output")).holds


def test_a_manifest_of_the_web_names_no_local_files(tmp_path: Path, run_pipeline: Run) -> None:
    (tmp_path / "a.png").write_bytes(encoded(0))
    answers = {"/m.csv": body(f"uri\nb.png\n{tmp_path}/a.png\n".encode()), "/b.png": body(encoded(1))}
    with serving(answers) as site:
        with pytest.raises(Exception, match="line 3 names a local file"):
            run_pipeline(input=f"{site.url}/m.csv", run_id="refused")
        report = run_pipeline(input=f"{site.url}/m.csv", run_id="taken", allow_local=True)
    assert sorted(run_vectors(report.folder)[0]) == [f"{tmp_path}/a.png", f"{site.url}/b.png"]


def test_images_larger_than_the_room_that_is_held_are_loaded(
    tmp_path: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of lengths that a server tells and of ones that it does not, side by side, in a small budget."""
    monkeypatch.setattr(groups, "ROOM_BYTES", 100)
    images = [encoded(i) for i in range(12)]
    answers = {f"/{i}.png": body(data) if i % 2 else pieces([data[:200], data[200:]]) for i, data in enumerate(images)}
    with serving(answers) as site:
        (tmp_path / "m.txt").write_text("".join(f"{site.url}/{i}.png\n" for i in range(12)))
        report = run_pipeline(input=str(tmp_path / "m.txt"), prefetch_bytes=5000)
    assert report.manifest["counts"]["embedded"] == 12
