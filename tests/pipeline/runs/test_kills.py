"""A run that is killed, again and again, at random moments."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.outputs.dataset import read_manifest
from pipeline.outputs.verify import verify_output
from tests.conftest import photo
from tests.pipeline.runs.test_resuming import assert_same_vectors

PROGRAM = str(Path(sys.executable).with_name("embed-images"))
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
            now_done = finished or finished_images(tmp_path, f"night-{runs}")
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


def finished_images(tmp_path: Path, run_id: str) -> int:
    """Images in shards that are finished, each once; all of a run that was published before its process was killed."""
    if (tmp_path / f"output/runs/{run_id}/_SUCCESS").exists():
        return IMAGES
    uris: set[str] = set()
    for ledger in tmp_path.glob(f"output/.staging/{run_id}/*/features-*.ledger"):
        uris.update(pq.read_table(ledger, columns=["uri"])["uri"].to_pylist())
    return len(uris)
