"""What became of images, from the files of a run, however many or damaged these are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import OutputError
from pipeline.outputs.history import published_runs
from pipeline.report import outcomes
from pipeline.report.bands import Bands, count_between, histogram, labels_between
from pipeline.report.outcomes import Outcomes, read_outcomes
from tests.pipeline.report.made import publish
from transforms.elements import DeadLetter, ImageObject


def letter(number: int, error: str, message: str = "why") -> DeadLetter:
    return DeadLetter(ImageObject(f"/{number}.jpg", -1 if number % 2 else 20_000, "1"), "fetch", error, message)


def read(output: Path) -> Outcomes:
    (run,) = published_runs(str(output), all_of_them=True)
    return read_outcomes(run)


def test_failures_have_examples_and_images_have_sizes(tmp_path: Path) -> None:
    dead = [*(letter(i, "NotFound", "x" * 999) for i in range(5)), letter(5, "PermissionDenied")]
    publish(tmp_path, 1, [f"/{i}" for i in range(10, 30)], np.ones((20, 3), np.float32), dead=dead)
    found = read(tmp_path)
    assert (found.listed, found.parts) == (26, {"embedded": 20, "failed": 6})
    assert [(each.error, each.images, len(each.examples)) for each in found.failures] == [
        ("NotFound", 5, 3), ("PermissionDenied", 1, 1),
    ]  # fmt: skip
    assert len(found.failures[0].examples[0].message) == 300
    sizes = [1000 * (1 + i) for i in range(20)] + [20_000] * 3
    assert found.bytes.counts[:3] == (9, 14, 0)
    assert sum(size < 10_000 for size in sizes) == 9
    assert (found.bytes.total, found.without_size) == (23, 3)


def test_examples_are_looked_for_in_a_bounded_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = [*(letter(i, "NotFound") for i in range(50)), letter(50, "PermissionDenied")]
    publish(tmp_path, 1, [], np.ones((0, 3), np.float32), dead=dead)
    monkeypatch.setattr(outcomes, "EXAMPLE_BYTES", 1000)
    found = read(tmp_path)
    assert [(each.images, len(each.examples)) for each in found.failures] == [(50, 3), (1, 0)]
    assert found.untold[-1].startswith("Examples of failures are from the first 0 MiB of each file")


@pytest.mark.parametrize("line", ["{", "[1]", '{"uri": 1}', "[" * 10_000])
def test_dead_letters_that_are_none_are_refused(tmp_path: Path, line: str) -> None:
    publish(tmp_path, 1, [], np.ones((0, 3), np.float32), dead=[letter(1, "NotFound")])
    (path,) = tmp_path.glob("runs/*/dead_letters-*")
    path.write_text(line + "\n")
    with pytest.raises(OutputError, match=f"{path.name}: no dead letters that runs write"):
        read(tmp_path)


def test_a_class_that_the_manifest_does_not_name_is_none(tmp_path: Path) -> None:
    publish(tmp_path, 1, [], np.ones((0, 3), np.float32), dead=[letter(1, "NotFound")])
    path = tmp_path / "runs/night-1/run.json"
    manifest = json.loads(path.read_text())
    manifest["counts"]["failed_by_error"] = {"Other": 1}
    path.write_text(json.dumps(manifest))
    (failure,) = read(tmp_path).failures
    assert (failure.error, failure.examples) == ("Other", ())


def test_bands() -> None:
    assert count_between(np.array([0, 1, 1.5, 2, 9]), [1, 2]).tolist() == [1, 2, 2]
    assert labels_between([1, 2.5], "MP") == ("below 1 MP", "1 to 2.5 MP", "2.5 MP and more")
    assert histogram(np.array([]), 4) == Bands((), ())
    assert histogram(np.full(3, 7.0), 4) == Bands(("7",), (3,))
    found = histogram(np.array([0.0, 1, 2, 4]), 4)
    assert (found.labels[0], found.counts) == ("0 to 1", (1, 1, 1, 1))
