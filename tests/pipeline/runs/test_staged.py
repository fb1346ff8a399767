"""What is seen of a run whose runner tells nothing: the files that its workers have finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.runs import staged
from pipeline.runs.staged import Staged
from transforms.elements import ImageObject
from transforms.records import layout
from transforms.records.ledger import LedgerSpool


def finish(output: Path, name: str, images: int) -> Path:
    """A file of 1,000 bytes and its ledger, as workers leave them."""
    folder = Path(layout.staging_folder(str(output), "r", "a" * 32))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes(1000))
    ledger = LedgerSpool()
    for number in range(images):
        ledger.add(ImageObject(f"/{name}/{number}", 1), "embedded")
    ledger.stage(str(folder / f"{name}.ledger"), {})
    ledger.close()
    return folder / f"{name}.ledger"


def test_finished_files_and_their_images_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Staged(str(tmp_path), "r")
    assert seen.text() == "0 finished files, 0.0 MB"
    first = finish(tmp_path, f"features-{'1' * 32}", 7)
    finish(tmp_path, f"dead_letters-{'2' * 32}", 3)
    finish(tmp_path, f"deleted-{'3' * 32}", 100)  # which are no images that are done
    first.with_name(f"features-{'4' * 32}").write_bytes(bytes(1000))  # at work
    assert seen.text() == "4 finished files of 10 images, 0.0 MB"

    first.write_bytes(b"")  # which is not read again
    finish(tmp_path, f"features-{'5' * 32}", 5)
    finish(tmp_path, f"features-{'6' * 32}", 1).write_bytes(b"no ledger")
    assert seen.text() == "6 finished files of 15 images, 0.0 MB"

    monkeypatch.setattr(staged, "AT_ONCE", 2)
    anew = Staged(str(tmp_path), "r")
    texts = [anew.text() for _ in range(3)]
    assert texts[-1] == "6 finished files of 8 images, 0.0 MB"
    assert texts[0] != texts[-1]  # not all at one look
