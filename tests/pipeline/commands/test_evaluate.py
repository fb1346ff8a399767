"""embed-images evaluate as it is typed."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import evaluate_output
from pipeline.cli import main
from tests.pipeline.commands.typed import PROGRAM, command
from tests.test_labels import FACES, write_labelled

LABEL = "image/class/label"


def typed(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exited:
        main(["evaluate", *arguments])
    return int(str(exited.value.code))


def test_figures_are_printed_and_mistakes_are_written(two_nights: Path, tmp_path: Path) -> None:
    output, file = str(two_nights / "output"), tmp_path / "new" / "mistakes.parquet"
    result = command("evaluate", output, "--column", LABEL, "--to", str(file), "--json", "--seed=3")
    assert (result.returncode, result.stderr) == (0, "")
    shown = json.loads(result.stdout)
    found = evaluate_output(output, column=LABEL, seed=3)
    assert found.by_label is not None
    assert found.by_label.probe is not None
    assert shown["geometry"]["effective_rank"] == pytest.approx(found.geometry.effective_rank)
    assert shown["by_label"]["probe"]["accuracy"] == found.by_label.probe.accuracy
    written = pq.read_table(file).to_pylist()
    assert written == shown["by_label"]["mistakes"]
    assert [row["uri"] for row in written] == [each.uri for each in found.by_label.mistakes]


def test_the_plain_text_is_the_default(two_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, file = str(two_nights / "output"), tmp_path / "mistakes.jsonl"
    assert typed(output, "--run_id=night-1", "--sample=11") == 0
    shown = capsys.readouterr().out
    assert "11 of 12, a random sample" in shown
    assert "recall" not in shown
    assert typed(output, f"--column={LABEL}", f"--to={file}") == 0
    shown = capsys.readouterr().out
    assert "recall@1 " in shown
    assert shown.endswith(f"all likely label mistakes are in {file}\n")
    assert f" {json.loads(file.read_text().splitlines()[0])['uri']}\n" in shown


def test_it_is_a_failure_when_nothing_is_to_be_told_apart(
    two_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mistakes.jsonl"
    assert typed(str(two_nights / "output"), "--column=image/format", f"--to={file}") == 1
    assert "there is nothing to tell apart" in capsys.readouterr().out
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (
            ["--to=a.csv", "--column=label"],
            2,
            "--to: 'a.csv' is not allowed: a file that ends in .jsonl, .ndjson, .parquet",
        ),
        (["--to=a.jsonl"], 2, "--to: 'a.jsonl' is not allowed: only with --column"),
        (["--group_column=photo"], 2, "--group_column: 'photo' is not allowed: only with --column"),
        (["--sample=0"], 2, "--sample: '0' is not allowed: a whole number from 1"),
        (["--seed=-1"], 2, "--seed: '-1' is not allowed: a whole number from 0"),
        (["--column=label"], 1, "/nothing/here: no published run"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("/nothing/here", *arguments) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"embed-images: {sentence}")


@pytest.mark.real_module
@pytest.mark.whole
def test_trained_vectors_tell_faces_from_background(tmp_path: Path) -> None:
    """The labelled photographs of docs/labels.md, and then six of them with a wrong label."""
    module = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    if not module:
        pytest.skip("EMBED_IMAGES_REAL_MODULE names no folder with trained weights")
    write_labelled(tmp_path)
    wrong = {f"photos/{number:03}.png" for number in (3, 20, FACES - 1, FACES, 150, 199)}
    lines = (tmp_path / "labels.csv").read_text().splitlines()
    turned = [line.replace(",1,", ",x,").replace(",0,", ",1,").replace(",x,", ",0,") for line in lines]
    given = [other if line.partition(",")[0] in wrong else line for line, other in zip(lines, turned, strict=True)]
    assert sum(line != other for line, other in zip(lines, given, strict=True)) == 6
    for name, content in (("right", lines), ("wrong", given)):
        (tmp_path / "labels.csv").write_text("\n".join(content))
        run = ["run", "--input=labels.csv", "--columns=label", f"--output={name}", f"--model={module}"]
        subprocess.run([PROGRAM, *run], cwd=tmp_path, check=True, capture_output=True)

    found = evaluate_output(str(tmp_path / "right"), column="label").by_label
    assert found is not None
    assert found.neighbours is not None
    assert found.probe is not None
    assert found.neighbours.recall[1] >= 0.98
    assert found.neighbours.knn_accuracy >= 0.98
    assert found.probe.accuracy >= 0.98
    assert found.chance == 0.5
    assert found.neighbours.recall_by_chance[1] == pytest.approx(99 / 199)
    found = evaluate_output(str(tmp_path / "wrong"), column="label").by_label
    assert found is not None
    assert {"/".join(Path(each.uri).parts[-2:]) for each in found.mistakes[:6]} == wrong
