"""embed-images report as it is typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.cli import main


def typed(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exited:
        main(["report", *arguments])
    return int(str(exited.value.code))


def test_a_page_is_written_and_the_verdict_said(
    two_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business
    to = tmp_path / "new" / "report.html"
    uri = str(two_nights / "images/07.jpg")
    more = ["--uri", uri, "--map=pca", "--columns=image/class/label", "--pictures=4"]
    assert typed(str(two_nights / "output"), "--to", str(to), *more) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert re.match("drift: (It matters|It does not matter|Not compared): ", first)
    assert last == f"written to {to}"
    text = to.read_text()
    assert "<title>Run night-2</title>" in text
    assert "Nearest to 07.jpg" in text
    assert '"name":"image/class/label"' in text
    assert '"name":"caption"' not in text


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--to=a.pdf"], 2, "--to: 'a.pdf' is not allowed: a file that ends in .html or .htm"),
        (["--to=a.html", "--map=tsne"], 2, "--map: 'tsne' is not allowed: one of auto, pca, umap"),
        (["--to=a.html", "--sample=1"], 2, "--sample: '1' is not allowed: a whole number from 2 to 1_000_000"),
        (["--to=a.html", "--pictures=-1"], 2, "--pictures: '-1' is not allowed: a whole number from 0 to 5_000"),
        (["--to=a.html", "--seed=x"], 2, "--seed: 'x' is not allowed: a whole number from 0"),
        (["--to=a.html"], 1, "/nothing/here: no published run"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str],
    status: int,
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business
    assert typed("/nothing/here", *arguments) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"embed-images: {sentence}")


def test_what_is_not_there_is_refused_before_anything_is_written(
    two_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)
    output, to = str(two_nights / "output"), tmp_path / "report.html"
    for more, sentence in (
        ("--run_id=night-9", "no published run 'night-9'"),
        ("--columns=nope", "its records have no column 'nope'"),
        ("--uri=/no/such.jpg", "has no vector of it"),
    ):
        assert typed(output, f"--to={to}", "--map=pca", more) == 1
        assert sentence in capsys.readouterr().err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert typed(output, f"--to={to}") == 1
    assert "pip install 'embed-images[report]'" in capsys.readouterr().err
    assert not to.exists()
