"""A run that was killed, continued by the same command; and two that want the same run id."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.errors import RunError
from pipeline.outputs import lease as lease_module
from pipeline.outputs.dataset import load_features, read_manifest
from pipeline.outputs.lease import lease
from pipeline.outputs.verify import verify_output
from pipeline.runs.housekeeping import contents_of, prune
from tests.conftest import Run, photo
from transforms import publishing
from transforms.records import layout
from transforms.stores import fetching, storage

PROGRAM = str(Path(sys.executable).with_name("embed-images"))
SHARD = 512  # bytes: a few records


def fetched_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths in the order in which they are fetched from now on."""
    paths: list[str] = []
    read = fetching._read_local

    def counted(image: Any) -> Any:
        paths.append(image.uri)
        return read(image)

    monkeypatch.setattr(fetching, "_read_local", counted)
    return paths


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(60):
        photo(40, 30, i).save(folder / f"{i:02}.jpg", quality=90)
    return folder


def staged_ledgers(tmp_path: Path) -> list[Path]:
    return sorted(tmp_path.glob("output/.staging/*/*/features-*.ledger"))


def interrupted(many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, **options: Any) -> None:
    """A run that fails after some shards are finished."""
    with monkeypatch.context() as patch:
        upload, finished = storage.upload, []

        def full_later(path: str, uri: str) -> None:
            if len(finished) >= 8:
                raise OSError(28, "No space left on device")
            finished.append(uri)
            upload(path, uri)

        patch.setattr(storage, "upload", full_later)
        with pytest.raises(RunError, match="No space left on device"):
            run_pipeline(input=str(many), run_id="r", shard_size=SHARD, **options)


def test_finished_shards_are_taken_over(
    many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = run_pipeline(input=str(many), output=str(tmp_path / "whole"), shard_size=SHARD)
    interrupted(many, run_pipeline, monkeypatch)
    kept = staged_ledgers(tmp_path)
    assert len(kept) == 4
    assert [left.finished_shards for left in contents_of(str(tmp_path / "output")).left_behind] == [4]

    adopted = sum(layout_rows(ledger) for ledger in kept)
    with monkeypatch.context() as patch:
        paths = fetched_paths(patch)
        report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    embedding = paths[-(60 - adopted) :]
    assert len(set(embedding)) == 60 - adopted
    assert report.manifest["counts"]["embedded"] == 60
    assert report.manifest["counts"]["listed"] == 60
    assert verify_output(str(tmp_path / "output")).holds
    assert not (tmp_path / "output/.staging").exists()
    assert_same_vectors(expected.folder, report.folder)


def layout_rows(ledger: Path) -> int:
    return int(pq.read_metadata(ledger).num_rows)


def assert_same_vectors(one: str, two: str) -> None:
    expected, found = (dict(zip(*load_features(folder), strict=True)) for folder in (one, two))
    assert expected.keys() == found.keys()
    for uri, vector in expected.items():
        np.testing.assert_array_equal(found[uri], vector)


def test_shards_of_other_options_are_dropped(
    many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupted(many, run_pipeline, monkeypatch)
    report = run_pipeline(input=str(many), run_id="r", resize="slim_eval")
    assert report.manifest["counts"]["embedded"] == 60
    assert [shard["records"] for shard in report.manifest["shards"]] == [60]
    assert verify_output(str(tmp_path / "output")).holds


def test_shards_of_a_bundle_that_was_tried_twice_are_not_both_taken(
    many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    interrupted(many, run_pipeline, monkeypatch)
    for ledger in staged_ledgers(tmp_path)[:2]:  # as if another try of the bundle had made the same shards
        data = ledger.with_suffix("")
        name = ledger.name.replace(ledger.name[9:17], "0" * 8)
        ledger.with_name(name).write_bytes(ledger.read_bytes())
        data.with_name(name.removesuffix(".ledger")).write_bytes(data.read_bytes())
    report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    assert report.manifest["counts"]["embedded"] == 60
    assert verify_output(str(tmp_path / "output")).holds


@pytest.mark.parametrize("step", ["_publish_file", "_finish", "success"])
def test_a_publish_that_ended_in_the_middle_is_continued(
    step: str, many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing is embedded again, whatever was moved already."""
    calls: list[int] = []
    with monkeypatch.context() as patch:
        if step == "success":
            write = storage.write_bytes

            def fail_at_success(uri: str, data: bytes, *, exclusive: bool = False) -> None:
                if uri.endswith(layout.SUCCESS):
                    raise OSError(5, "Input/output error")
                write(uri, data, exclusive=exclusive)

            patch.setattr(publishing.storage, "write_bytes", fail_at_success)
        else:
            right = getattr(publishing.PublishRun, step)

            def fail_at_third(self: Any, *arguments: Any) -> Any:
                calls.append(1)
                if step == "_finish" or len(calls) == 3:
                    raise OSError(5, "Input/output error")
                return right(self, *arguments)

            patch.setattr(publishing.PublishRun, step, fail_at_third)
        with pytest.raises(RunError, match="Input/output error"):
            run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    assert not (tmp_path / "output/runs/r" / layout.SUCCESS).exists()
    loads: list[Any] = []
    monkeypatch.setattr("transforms.loading._Load.process", lambda _, element: loads.append(element) or ())
    report = run_pipeline(input=str(many), run_id="r", shard_size=SHARD)
    assert loads == []
    assert report.manifest["counts"]["embedded"] == 60
    assert verify_output(str(tmp_path / "output")).holds
    assert not (tmp_path / "output/.staging").exists()


def test_a_run_id_has_one_holder(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    output = str(tmp_path / "output")
    with lease(output, "r", "first", here=True):
        with pytest.raises(
            RunError, match=rf"--run_id: 'r' is being worked at by process {os.getpid()} on .* since 20"
        ):
            run_pipeline(input=str(images), run_id="r")
        assert [left.holder for left in contents_of(output).left_behind] == [lease_module.holder_of(output, "r")]
        assert prune(output) == []
    assert not (tmp_path / "output").exists()
    assert run_pipeline(input=str(images), run_id="r").manifest["counts"]["embedded"] == 12


@pytest.mark.parametrize(
    ("holder", "alive"),
    [
        ({"here": True, "pid": 2**22 + 1}, False),  # ended on this machine
        ({"here": True, "pid": os.getppid()}, True),
        ({"here": True, "pid": os.getpid()}, False),  # of an earlier life of a container
        ({"here": True, "host": "elsewhere", "age": 299}, True),
        ({"here": True, "host": "elsewhere", "age": 301}, False),
        ({"here": False, "pid": 2**22 + 1, "age": 299}, True),  # its job may live on
        ({"here": False, "pid": os.getppid(), "age": 301}, False),
    ],
)
def test_a_dead_holders_lease_ends(
    holder: dict[str, Any], alive: bool, images: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    now = time.time()
    content = {"attempt": "a", "host": socket.gethostname(), "pid": 1, "since": now, "here": True} | holder
    content["renewed"] = now - content.pop("age", 0)
    path = Path(layout.lease_file(str(tmp_path / "output"), "r", 1))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    if alive:
        with pytest.raises(RunError, match="is being worked at by"):
            run_pipeline(input=str(images), run_id="r")
    else:
        assert run_pipeline(input=str(images), run_id="r").manifest["counts"]["embedded"] == 12


def test_a_lease_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEWAL_SECONDS", 0.01)
    path = Path(layout.lease_file(str(tmp_path), "r", 1))
    with lease(str(tmp_path), "r", "a", here=True):
        first = json.loads(path.read_text())["renewed"]
        deadline = time.monotonic() + 30
        while json.loads(path.read_text())["renewed"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not path.exists()


def test_what_is_left_is_listed_and_pruned(
    many: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    output = str(tmp_path / "output")
    report = run_pipeline(input=str(many), run_id="good")
    interrupted(many, run_pipeline, monkeypatch)
    contents = contents_of(output)
    assert [(run.run_id, run.embedded, run.generation) for run in contents.published] == [("good", 60, 1)]
    assert "left behind: r: 4 finished shards" in contents.as_text()
    assert json.loads(contents.as_json())["left_behind"][0]["run_id"] == "r"
    assert [left.run_id for left in prune(output)] == ["r"]
    assert contents_of(output).left_behind == []
    assert Path(report.folder).exists()


KILLS = 20
IMAGES, PER_SHARD = 2000, 200
LOOK_AHEAD = 2 * 64  # images in flight, by the default of --fetch_concurrency
SAMPLE = 64  # images that a launch looks at


@pytest.mark.kills
def test_kills_at_random_moments_lose_and_double_nothing(tmp_path: Path, tiny_module: str) -> None:
    """SIGKILL of the whole process, at moments of a seeded choice, and the same command; several runs until all hit."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(IMAGES):
        photo(60, 45, i).save(images / f"{i:04}.jpg", quality=90)

    def command(output: str, run_id: str, shard_size: int) -> list[str]:
        options = [f"--input={images}", f"--output={tmp_path / output}", f"--model={tiny_module}", f"--run_id={run_id}"]
        return [PROGRAM, "run", *options, f"--shard_size={shard_size}"]

    subprocess.run(command("whole", "whole", 1 << 28), check=True, capture_output=True)
    whole = str(tmp_path / "whole/runs/whole")
    (shard,) = read_manifest(whole)["shards"]
    shard_size = shard["bytes"] * PER_SHARD // IMAGES
    forget_reads(images)
    started = time.monotonic()
    subprocess.run(command("timed", "timed", shard_size), check=True, capture_output=True)
    duration = time.monotonic() - started
    if read_since(images) != IMAGES:
        pytest.skip(
            "this file system does not keep the times of reads (noatime): what was read twice cannot be counted"
        )

    choice, kills, again, runs = random.Random(6), 0, 0, 0
    while kills < KILLS:
        runs += 1
        run = command("output", f"night-{runs}", shard_size)
        done = finished = 0
        while not finished:
            forget_reads(images)
            process = subprocess.Popen(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                assert process.wait(choice.uniform(0.3, 1.0) * duration if kills < KILLS else None) == 0
                finished = IMAGES
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                kills += 1
            now_done = finished or staged_images(tmp_path, f"night-{runs}")
            assert now_done >= done
            again += max(0, read_since(images) - (now_done - done))
            done = now_done
    assert again <= kills * (PER_SHARD + LOOK_AHEAD) + (kills + runs) * SAMPLE
    result = verify_output(str(tmp_path / "output"))
    assert result.holds, result.as_text()
    assert len(result.runs) == runs
    assert not (tmp_path / "output/.staging").exists()
    for number in range(1, runs + 1):
        assert_same_vectors(whole, str(tmp_path / f"output/runs/night-{number}"))
    print(f"{kills} kills, {runs} runs, {again} images read again")


def forget_reads(images: Path) -> None:
    """Sets the time of the last read of each file before that of its last change, which stays."""
    for path in images.iterdir():
        os.utime(path, ns=(0, path.stat().st_mtime_ns))


def read_since(images: Path) -> int:
    """Files that were read since `forget_reads`."""
    return sum(path.stat().st_atime_ns != 0 for path in images.iterdir())


def staged_images(tmp_path: Path, run_id: str) -> int:
    """Images in shards that are finished, wherever a publish has moved them; each once."""
    uris: set[str] = set()
    for ledger in tmp_path.glob(f"output/.staging/{run_id}/*/features-*.ledger"):
        uris.update(pq.read_table(ledger, columns=["uri"])["uri"].to_pylist())
    return len(uris)
