"""What no run has written is never deleted, moved or overwritten, whatever lies beside it and whatever is called."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.errors import OutputError, RunError
from pipeline.options.config import CompactConfig, make_config
from pipeline.runs.compact import compact
from pipeline.runs.housekeeping import contents_of, prune
from pipeline.runs.run import run
from tests.conftest import Run, photo
from tests.full_disk import full_after
from transforms.inputs.inputs import ListingError

HEX = "0123456789abcdef" * 2
FOREIGN = (
    "notes.txt",
    "artifacts/weights.bin",
    "runs/notes.txt",
    "runs/detect/train/best.pt",
    "runs/photos/x.jpg",
    "runs/nested/runs/a/_SUCCESS",
    "runs/nested/runs/a/run.json",
    "runs/r/notes.txt",
    "runs/r/run.json.bak",
    "runs/r/features-00000-of-00001.tfrecord.old",
    "runs/r/features-00000-of-00001.tfrecord",
    "runs/r/sub/features-00000-of-00001.tfrecord",
    "runs/other/run.json",
    "runs/other/_SUCCESS",
    "refused/r/letter.txt",
    "refused/r/dead_letters-00000-of-00001.jsonl",
    ".staging/notes.txt",
    ".staging/r/notes.txt",
    ".staging/r/lease-000001.json",
    f".staging/r/{HEX}/photo.jpg",
    f".staging/r/{HEX}/features-{HEX}",
    f".staging/other/{HEX}/features-{HEX}.ledger",
    ".staging/other/lease-000001.json",
)
LINKS = ("runs", "refused", ".staging", "runs/r", ".staging/r", "refused/r", "runs/linked", ".staging/linked")
COMMANDS = ("run", "failing run", "refused run", "prune", "compact", "compact r")
folders = itertools.count()


def contents(root: Path) -> dict[str, bytes | str]:
    """Every file and link below a folder: its bytes, or where it leads."""
    found: dict[str, bytes | str] = {}
    for parent, names, files in os.walk(root):
        for name in (*names, *files):
            path = Path(parent, name)
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Callable[[str, Path], None]:
    """Does a command on an output; what it refuses with one sentence is as good as what it does."""
    images, broken = tmp_path_factory.mktemp("images"), tmp_path_factory.mktemp("broken")
    for i in range(4):
        photo(40, 30, i).save(images / f"{i}.jpg")
        (broken / f"{i}.jpg").write_bytes(b"no image")

    def embed(output: Path, folder: Path) -> None:
        given = {"input": str(folder), "output": str(output), "model": tiny_module, "run_id": "r", "shard_size": "100"}
        run(make_config(given, []))

    def fail(output: Path) -> None:
        with full_after(4):
            embed(output, images)

    does: dict[str, Callable[[Path], Any]] = {
        "run": lambda output: embed(output, images),
        "failing run": fail,
        "refused run": lambda output: embed(output, broken),
        "prune": lambda output: prune(str(output)),
        "compact": lambda output: compact(CompactConfig(str(output), "c", 1 << 20, "none", {})),
        "compact r": lambda output: compact(CompactConfig(str(output), "r", 1 << 20, "none", {})),
    }

    def do(command: str, output: Path) -> None:
        with contextlib.suppress(RunError, OutputError, ListingError):
            does[command](output)

    return do


@given(
    st.sets(st.sampled_from(FOREIGN), max_size=6),
    st.sets(st.sampled_from(LINKS), max_size=1),
    st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=3),
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@example({"runs/detect/train/best.pt", ".staging/notes.txt", "runs/nested/runs/a/run.json"}, set(), ["prune"])
@example({"runs/other/run.json"}, {"runs"}, ["prune", "run", "prune"])
@example({"runs/other/run.json", ".staging/other/lease-000001.json"}, set(), ["prune"])
@example({"runs/r/features-00000-of-00001.tfrecord"}, set(), ["run", "compact r"])
@example({f".staging/r/{HEX}/photo.jpg"}, set(), ["failing run", "run"])
def test_every_foreign_file_is_still_there(
    tmp_path_factory: pytest.TempPathFactory,
    world: Callable[[str, Path], None],
    foreign: set[str],
    links: set[str],
    commands: list[str],
) -> None:
    root = tmp_path_factory.mktemp(f"world-{next(folders)}")
    output, elsewhere = root / "output", root / "elsewhere"
    for link in links:
        (elsewhere / "deep").mkdir(parents=True)
        (elsewhere / "deep" / f"features-{HEX}").write_bytes(b"behind a link")
        (elsewhere / "run.json").write_text(json.dumps({"attempt": HEX}))
        (output / link).parent.mkdir(parents=True, exist_ok=True)
        (output / link).symlink_to(elsewhere)
    for name in foreign:
        path = output / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"mine: {name}".encode())
    before = contents(root)
    for command in commands:
        world(command, output)
        now = contents(root)
        assert {name: now.get(name) for name in before} == before, command


def test_what_is_not_ours_is_named_and_ours_is_pruned(
    images: Path, run_pipeline: Run, tmp_path: Path, world: Callable[[str, Path], None]
) -> None:
    output = tmp_path / "output"
    world("failing run", output)
    (output / "runs/detect").mkdir(parents=True)
    (output / "runs/detect/best.pt").write_text("mine")
    (output / ".staging/r/notes.txt").write_text("mine")
    shown = contents_of(str(output))
    assert [left.run_id for left in shown.left_behind] == ["r"]
    assert sorted(shown.foreign) == [".staging/r/notes.txt", "runs/detect"]
    assert "not written by runs, left alone: .staging/r/notes.txt, runs/detect" in shown.as_text()
    assert [left.run_id for left in prune(str(output))] == ["r"]
    left = [path.relative_to(output).as_posix() for path in output.rglob("*") if path.is_file()]
    assert sorted(left) == [".staging/r/notes.txt", "runs/detect/best.pt"]
    assert contents_of(str(output)).left_behind == []


@pytest.mark.parametrize("link", ["runs", ".staging", "refused", "artifacts"])
def test_a_run_does_not_work_behind_links_within_its_output(
    link: str, images: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    (tmp_path / "output").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "output" / link).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match=f"output/{link} is a link"):
        run_pipeline(input=str(images))
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "real").mkdir()
    assert run_pipeline(input=str(images), output=str(tmp_path / "linked")).manifest["counts"]["embedded"] == 12


@pytest.mark.parametrize("place", ["runs/one", "runs", ".staging/x", "refused/x/y", "artifacts"])
def test_an_output_in_the_folders_of_another_is_refused(
    place: str, images: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    run_pipeline(input=str(images), run_id="one")
    with pytest.raises(RunError, match=r"--output: .* lies in a folder of another output, .*/output;"):
        run_pipeline(input=str(images), output=str(tmp_path / "output" / place))


def test_an_empty_folder_of_a_user_stays_when_a_launch_fails(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    (tmp_path / "mine/features").mkdir(parents=True)
    with pytest.raises(Exception, match="no such folder"):
        run_pipeline(input=str(images), output=str(tmp_path / "mine/features"), model="/no/model")
    assert (tmp_path / "mine/features").is_dir()


def test_an_output_in_its_own_input_lists_everything_but_what_runs_have_written(
    images: Path, run_pipeline: Run
) -> None:
    """Images in folders named like an output's are images."""
    run_pipeline(input=str(images), output=str(images), run_id="one")
    for place in ("artifacts", "runs/mine", ".staging", "refused"):
        (images / place).mkdir(parents=True)
        photo(40, 30).save(images / place / "x.jpg")
    counts = run_pipeline(input=str(images), output=str(images), run_id="two", all_files=True).manifest["counts"]
    assert (counts["listed"], counts["failed"]) == (16, 0)
