"""ListImages: what is listed, and what is left out, counted through the graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam

from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from tests.transforms.inputs.test_inputs import touch
from transforms.inputs import kinds
from transforms.inputs.kinds import sum_kinds
from transforms.inputs.rules import DEFAULT_RULES, Rules
from transforms.listing import LEFT_OUT, LISTED, ListImages


def list_all(*inputs: Path | str, rules: Rules = DEFAULT_RULES, **options: Any) -> tuple[list[str], Mapping[str, int]]:
    listed, left_out = Collect(), Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        found = pipeline | beam.Create(list(map(str, inputs))) | ListImages(rules, **options)
        _ = found[LISTED] | "Listed" >> listed
        _ = found[LEFT_OUT] | "LeftOut" >> left_out
    return sorted(image.uri for image in listed.elements), sum_kinds(left_out.elements)


def test_what_is_left_out_of_folders_is_counted_by_kind(tmp_path: Path) -> None:
    kept = [tmp_path / "one/a.jpg", tmp_path / "two/b.PNG"]
    left_out = [
        "one/a.txt",
        "one/b.TXT",
        "two/c.txt",
        "two/d.json",
        "two/e",
        "two/._b.PNG",
        "two/f.a-very-long-extension",
    ]
    touch(*kept, *(tmp_path / name for name in left_out))
    listed, counts = list_all(tmp_path / "one", tmp_path / "two")
    assert listed == sorted(map(str, kept))
    assert counts == {".txt": 3, "._*": 1, ".json": 1, "none": 1, "other": 1}
    assert next(iter(counts)) == ".txt"


def test_nothing_left_out_is_told_as_well(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "b.txt")
    assert list_all(tmp_path / "a.jpg") == ([f"{tmp_path}/a.jpg"], {})
    assert list_all(tmp_path, rules=Rules(all_files=True)) == ([f"{tmp_path}/a.jpg", f"{tmp_path}/b.txt"], {})


def test_kinds_are_bounded_on_their_way(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(kinds, "KINDS_HELD", 5)
    touch(tmp_path / "a.jpg", *(tmp_path / f"{i}.x{i % 20}" for i in range(100)))
    _, counts = list_all(tmp_path)
    assert sum(counts.values()) == 100
    assert len(counts) <= 6
