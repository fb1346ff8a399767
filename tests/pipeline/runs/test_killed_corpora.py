"""Runs over containers whose launcher is killed while it is within one, and the same command again."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.outputs.dataset import read_manifest
from pipeline.runs.running import RunReport
from tests.pipeline.runs.corpora import make_corpus
from tests.pipeline.runs.forms import corpus as photos_of
from tests.pipeline.runs.test_kills import PROGRAM
from tests.waiting import PATIENCE, wait_until
from transforms.inputs.containers.naming import container_of

pytestmark = pytest.mark.corpora
COUNT = 200  # images in each form, one of them no picture
KILLS = 3
SHARD = 8192  # bytes: some twenty records


def test_kills_within_containers_lose_and_double_nothing(tmp_path: Path, tiny_module: str) -> None:
    """SIGKILL after a further shard, again and again: each time some container is finished in part."""
    corpus = make_corpus(tmp_path, tiny_module, photos_of(COUNT))
    output = tmp_path / "output"
    options = [f"--input={text}" for text in corpus.inputs] + [f"--output={output}", f"--model={tiny_module}"]
    columns = ["--columns=cls,caption", "--label_from=folder"]
    command = [PROGRAM, "run", "--run_id=r", f"--shard_size={SHARD}", *options, *columns]
    log = tmp_path / "log"

    def is_within(before: int) -> bool:
        """Whether there are more shards than before, and some container is finished in part."""
        ledgers = finished(output)
        return len(ledgers) > before and any(count < COUNT - 1 for count in members_in(ledgers).values())

    for _ in range(KILLS):
        before = len(finished(output))
        with log.open("w") as file:
            launcher = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            wait_until(lambda: is_within(before) or launcher.poll() is not None, 3 * PATIENCE)  # noqa: B023
            assert launcher.poll() is None, log.read_text()
        finally:
            launcher.kill()
            launcher.wait()
        assert not (output / "runs/r/_SUCCESS").exists()
        assert is_within(before)

    kept = len(finished(output))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"{kept} finished shards of an earlier attempt are taken over" in done.stdout + done.stderr
    folder = str(output / "runs/r")
    corpus.check(RunReport(folder, read_manifest(folder)))
    assert not (output / ".staging").exists()


def finished(output: Path) -> list[Path]:
    """The ledgers of shards that are whole."""
    return list(output.glob(".staging/r/*/features-*.ledger"))


def members_in(ledgers: list[Path]) -> Counter[str]:
    """By container, how many of its members are in finished shards."""
    uris = {uri for ledger in ledgers for uri in pq.read_table(ledger, columns=["uri"])["uri"].to_pylist()}
    return Counter(container_of(uri) for uri in uris if container_of(uri))
