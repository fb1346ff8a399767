"""What processes of one machine tell each other of their counts."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import wait_until
from transforms import tally


@pytest.fixture(autouse=True)
def anew() -> Iterator[None]:
    tally.reset()
    yield
    tally.reset()


def test_a_worker_tells_what_it_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tally, "TELL_SECONDS", 0.01)
    monkeypatch.setattr(tally, "_asked", None)
    monkeypatch.setenv(tally.FOLDER, str(tmp_path))
    tally.count("images_selected", 2)
    tally.count("images_selected", 3)
    told = tmp_path / f"{os.getpid()}.json"
    wait_until(lambda: told.exists() and json.loads(told.read_text())["counts"] == {"images_selected": 5})
    first, last = tally.first_counted("images_selected"), tally.last_counted("images_selected")
    (tmp_path / "other.json").write_text(told.read_text())
    (tmp_path / "half.part").write_text("{")
    (tmp_path / "broken.json").write_text("{")

    monkeypatch.setattr(tally, "_gathered", tmp_path)  # as of the process that gathers, which has counted nothing
    tally.reset()
    wait_until(lambda: json.loads(told.read_text())["counts"] == {})
    assert tally.counts() == {"images_selected": 5}
    assert first is not None
    assert (tally.first_counted("images_selected"), tally.last_counted("images_selected")) == (first, last)
    tally.count("images_selected", 4)
    assert tally.counts()["images_selected"] == 9
    assert tally.first_counted("images_selected") == first
    assert tally.last_counted("images_selected") != last


def test_a_process_that_gathers_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with tally.gathering():
        assert os.environ[tally.FOLDER].startswith(str(tmp_path))
        tally.count("images_selected")  # of its own, which it does not tell itself
        assert tally.counts() == {"images_selected": 1}
        assert [*Path(os.environ[tally.FOLDER]).iterdir()] == []
    assert tally.FOLDER not in os.environ
    assert [*tmp_path.iterdir()] == []
