"""Images that are left out by name, and samples: the same ones every night, wherever they are listed."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Run, photo
from transforms.inputs.choosing import kind_not_chosen
from transforms.inputs.coverage import coverage
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import ListingError, Rules

NAMES = ["a.jpg", "thumbs/b.jpg", "deep/thumbs/c.jpg", "deep/d_small.jpg", "deep/e.jpg", "thumbs.jpg"]
STEPS = st.sampled_from(["a", "b.jpg", "thumbs", "x_small.jpg", "[1].jpg", "ü.jpg"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("pattern", "left_out"),
    [
        ("thumbs", ["thumbs/b.jpg", "deep/thumbs/c.jpg"]),
        ("*_small.*", ["deep/d_small.jpg"]),
        ("**/thumbs/**", ["thumbs/b.jpg", "deep/thumbs/c.jpg"]),
        ("{folder}/deep/*", ["deep/d_small.jpg", "deep/e.jpg"]),
        ("{folder}/deep/**", ["deep/thumbs/c.jpg", "deep/d_small.jpg", "deep/e.jpg"]),
        ("file:{folder}/a.jpg", ["a.jpg"]),
        ("*", NAMES),
        ("nothing", []),
    ],
)
def test_a_pattern_leaves_out_what_it_names_and_counts_it(pattern: str, left_out: list[str], folder: Path) -> None:
    rules = Rules(exclude=(pattern.format(folder=folder),))
    skipped: list[tuple[str, str]] = []
    found = [image.uri for image in list_input(str(folder), rules, lambda name, kind: skipped.append((name, kind)))]
    assert sorted(found) == sorted(f"{folder}/{name}" for name in NAMES if name not in left_out)
    assert sorted(skipped) == sorted((f"{folder}/{name}", "excluded") for name in left_out)
    covers = coverage(str(folder), rules)
    assert {name for name in NAMES if not covers(f"{folder}/{name}")} == set(left_out)


@given(st.lists(STEPS, min_size=1, max_size=4), STEPS)
def test_a_pattern_without_a_slash_is_held_against_each_step(steps: list[str], pattern: str) -> None:
    """As fnmatch, an independent matcher, has it."""
    excluded = kind_not_chosen("gs://bucket/" + "/".join(steps), Rules(exclude=(pattern,))) == "excluded"
    assert excluded == any(fnmatchcase(step, pattern) for step in steps)


def test_the_bucket_and_the_query_are_no_steps() -> None:
    rules = Rules(exclude=("thumbs",))
    assert not kind_not_chosen("gs://thumbs/a.jpg", rules)
    assert not kind_not_chosen("https://thumbs/a.jpg?thumbs", rules)
    assert kind_not_chosen("https://host/th%75mbs/a.jpg", rules) == "excluded"


def test_manifests_are_chosen_from_as_folders_are(folder: Path, tmp_path: Path) -> None:
    manifest = tmp_path / "list.txt"
    manifest.write_text("".join(f"{folder}/{name}\n" for name in NAMES))
    rules = Rules(exclude=("thumbs",), sample=0.5)
    assert {image.uri for image in list_input(str(manifest), rules)} == {
        image.uri for image in list_input(str(folder), rules)
    }


def test_a_sample_is_its_share_and_a_part_of_larger_ones() -> None:
    uris = [f"gs://bucket/{number:05}.jpg" for number in range(20_000)]
    shares = (0.001, 0.1, 0.5, 0.9)
    taken = [{uri for uri in uris if not kind_not_chosen(uri, Rules(sample=share))} for share in shares]
    for share, sample in zip(shares, taken, strict=True):
        assert len(sample) == pytest.approx(share * len(uris), abs=5 * (share * (1 - share) * len(uris)) ** 0.5)
    assert all(smaller < larger for smaller, larger in pairwise(taken))
    assert not any(kind_not_chosen(uri, Rules()) for uri in uris)


def test_a_run_counts_what_it_left_out_and_takes_it_for_gone_in_no_later_one(tmp_path: Path, run_pipeline: Run) -> None:
    """A night of a sample, one with an exclusion as well, one of all."""
    (tmp_path / "photos/thumbs").mkdir(parents=True)
    names = [f"{folder}{number:02}.jpg" for folder in ("", "thumbs/") for number in range(20)]
    for number, name in enumerate(names):
        photo(40, 30, number).save(tmp_path / "photos" / name, quality=90)
    uris = [f"{tmp_path}/photos/{name}" for name in names]
    sample = {uri for uri in uris if not kind_not_chosen(uri, Rules(sample=0.5))}
    given = {"input": f"{tmp_path}/photos", "incremental": True}
    first = run_pipeline(**given, sample=0.5, run_id="1").manifest["counts"]
    assert (first["listed"], first["left_out"]) == (len(sample), {"not sampled": 40 - len(sample)})
    plain = {uri for uri in sample if "/thumbs/" not in uri}
    second = run_pipeline(**given, sample=0.5, exclude="thumbs", run_id="2").manifest["counts"]
    assert (second["unchanged"], second["deleted"]) == (len(plain), 0)
    assert Counter(second["left_out"]) == {"excluded": 20, "not sampled": 20 - len(plain)}
    third = run_pipeline(**given, run_id="3").manifest["counts"]
    assert (third["unchanged"], third["embedded"], third["deleted"]) == (len(sample), 40 - len(sample), 0)


def test_an_input_of_which_nothing_is_left_says_why(folder: Path, run_pipeline: Run) -> None:
    (folder / "notes.txt").write_text("")
    said = re.escape("holds no image; 6 images are left out by --exclude; 1 files have no extension of an image")
    with pytest.raises(ListingError, match=said):
        run_pipeline(input=str(folder), exclude=["*.jpg"])
