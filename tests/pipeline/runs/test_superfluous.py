"""Runs that a compaction holds: found, proven, removed; whatever happens meanwhile, the newest vectors stay."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.errors import RunError
from pipeline.options.config import CompactConfig
from pipeline.outputs.latest import latest
from pipeline.outputs.verify import verify_output
from pipeline.runs.compact import compact
from pipeline.runs.housekeeping import contents_of, prune
from pipeline.runs.superfluous import prune_compacted
from tests.reading import newest_records, newest_vectors
from transforms.records import layout, removal

Newest = dict[str, bytes]


@pytest.fixture(scope="module")
def compacted(two_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an output of two nights and a compaction of them, and a night after it; to be left so."""
    folder = tmp_path_factory.mktemp("compacted")
    shutil.copytree(two_nights / "output", folder / "output")
    compact(CompactConfig(str(folder / "output"), "c", 1 << 20, "none", {}))
    return folder


@pytest.fixture
def output(compacted: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(compacted / "output", tmp_path / "output"))


def newest(output: Path) -> Newest:
    uris, vectors = newest_vectors(str(output))
    return {uri: vector.tobytes() for uri, vector in zip(uris, vectors, strict=True)}


def run_ids(output: Path) -> list[str]:
    return sorted(path.parent.name for path in output.glob("runs/*/_SUCCESS"))


def edit_ledgers(output: Path, run_id: str, edit: Callable[[list[dict[str, Any]]], None]) -> None:
    for path in sorted((output / "runs" / run_id).glob("ledger-*")):
        table = pq.read_table(path)
        rows = table.to_pylist()
        edit(rows)
        pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def test_runs_are_shown_and_removed_and_nothing_changes(
    output: Path, two_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, there = newest(output), contents_of(str(output))
    assert [(run.run_id, run.held_by, run.compacted) for run in there.published] == [
        ("night-1", "c", 0), ("night-2", "c", 0), ("c", "", 2)
    ]  # fmt: skip
    assert [(run.listed, run.new, run.changed) for run in there.published[:2]] == [(12, 12, 0), (12, 1, 1)]
    for run in there.published:
        files = [path for path in (output / "runs" / run.run_id).iterdir() if path.name != "run.json"]
        assert run.bytes == sum(path.stat().st_size for path in files)
    with pytest.raises(SystemExit) as exited:
        main(["runs", str(output), "--prune_compacted"])
    assert not exited.value.code
    shown = capsys.readouterr()
    *removed, last = shown.err.splitlines()
    assert [line.partition(":")[0] for line in removed] == [
        f"removed run {run_id}, whose newest vectors are in c" for run_id in ("night-1", "night-2")
    ]
    assert last == "with them went vectors of images that are gone: 1"
    assert shown.out.splitlines()[1].startswith("c ")
    assert os.listdir(output / "runs") == ["c"]
    assert newest(output) == before
    assert len(before) == len(newest_records(two_nights / "output"))
    assert verify_output(str(output)).holds
    assert prune_compacted(str(output)) == ([], (0, 0, 0))


def test_a_run_that_holds_a_newest_vector_stays(output: Path) -> None:
    """The compaction says that it has the vectors of a run, and its ledger lacks one of them."""
    gone = "/00.jpg"
    edit_ledgers(output, "c", lambda rows: rows.__delitem__([row["uri"].endswith(gone) for row in rows].index(True)))
    (record,) = [row for row in latest(str(output)).to_pylist() if row["uri"].endswith(gone)]
    assert record["run_id"] == "night-1"
    before = newest(output)
    assert prune_compacted(str(output)) == ([], (0, 0, 0))  # the second night tells that an image of the first is gone
    assert newest(output) == before
    assert run_ids(output) == ["c", "night-1", "night-2"]


def test_a_compaction_with_a_damaged_byte_is_no_ground_to_remove_anything(output: Path) -> None:
    (shard,) = (output / "runs/c").glob("features-*")
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    with pytest.raises(RunError, match=r"the compaction c does not hold \(features-.*nothing was removed"):
        prune_compacted(str(output))
    assert run_ids(output) == ["c", "night-1", "night-2"]


def test_the_word_that_an_image_is_gone_stays_as_long_as_its_record(output: Path) -> None:
    """A run that no compaction has, of before it: without the second night its image would be back."""
    path = output / "runs/c/run.json"
    manifest = json.loads(path.read_text())
    manifest["identity"]["compacted"] = ["night-2"]
    path.write_text(json.dumps(manifest))
    before = newest(output)
    assert prune_compacted(str(output))[0] == []
    assert newest(output) == before
    assert run_ids(output) == ["c", "night-1", "night-2"]


def test_a_run_id_that_was_used_anew_is_another_run(output: Path) -> None:
    path = output / "runs/night-2/run.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"as_of": "2999-01-01T00:00:00.000000Z"}))
    before = newest(output)
    assert {run.run_id: run.held_by for run in contents_of(str(output)).published} == {
        "night-1": "c", "c": "", "night-2": ""
    }  # fmt: skip
    assert [run.run_id for run in prune_compacted(str(output))[0]] == ["night-1"]
    assert run_ids(output) == ["c", "night-2"]
    assert newest(output) == before


def lease(output: Path, run_id: str = "night-9") -> Path:
    """That of a run at work in another process."""
    path = Path(layout.lease_file(str(output), run_id, 1))
    path.parent.mkdir(parents=True)
    content = {"attempt": "a" * 32, "host": "h", "pid": 1, "here": False, "since": time.time(), "renewed": time.time()}
    path.write_text(json.dumps(content))
    return path


def test_nothing_is_removed_beside_a_run_at_work(output: Path) -> None:
    held = lease(output)
    with pytest.raises(RunError, match=r"night-9 is being worked at by process 1 on h .*; nothing was removed"):
        prune_compacted(str(output))
    assert run_ids(output) == ["c", "night-1", "night-2"]
    held.unlink()
    assert len(prune_compacted(str(output))[0]) == 2


def test_files_stay_for_a_run_that_started_meanwhile(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have found the runs while they had their marks: their files go when it has ended."""
    before, files = newest(output), sorted(output.glob("runs/*/*"))
    genuine, started = removal.unpublish, []

    def unpublish(at: str, run_id: str) -> None:
        started.append(lease(output)) if not started else None
        genuine(at, run_id)

    monkeypatch.setattr(removal, "unpublish", unpublish)
    with pytest.raises(RunError, match=r"night-9 .*; 2 runs have lost their _SUCCESS already, their files are still"):
        prune_compacted(str(output))
    assert run_ids(output) == ["c"]
    assert [path for path in files if path.name != "_SUCCESS" or path.parent.name == "c"] == sorted(
        output.glob("runs/*/*")
    )
    assert newest(output) == before
    assert prune(str(output)) == []  # which removes what nobody works at, and does not know who reads this
    shown = contents_of(str(output))
    assert shown.half_removed == ["night-1", "night-2"]
    assert "half removed: night-1; --prune_compacted removes the rest of it" in shown.as_text()
    started[0].unlink()
    assert [(run.run_id, run.held_by) for run in prune_compacted(str(output))[0]] == [("night-1", ""), ("night-2", "")]
    assert os.listdir(output / "runs") == ["c"]


@pytest.mark.whole
def test_killed_after_any_deletion_the_output_is_whole_and_the_same_command_goes_on(
    compacted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = newest(compacted / "output")
    genuine = removal._delete

    def killed_after(count: int) -> Iterator[None]:
        for _ in range(count):
            yield None
        raise KeyboardInterrupt

    step, ended = 0, False
    while not ended:
        output = Path(shutil.copytree(compacted / "output", tmp_path / str(step)))
        left = killed_after(step)

        def delete(uri: str, left: Iterator[None] = left) -> None:
            next(left)
            genuine(uri)

        with monkeypatch.context() as patch:
            patch.setattr(removal, "_delete", delete)
            try:
                prune_compacted(str(output))
                ended = True
            except KeyboardInterrupt:
                assert newest(output) == wanted
                assert verify_output(str(output)).holds
        prune_compacted(str(output))
        assert os.listdir(output / "runs") == ["c"]
        assert newest(output) == wanted
        step += 1
    assert step > 10  # files and marks of two runs


def test_what_no_run_has_written_stays(output: Path) -> None:
    (output / "runs/night-1/notes.txt").write_text("mine")
    elsewhere = output.parent / "elsewhere"
    shutil.move(output / "runs/night-2", elsewhere)
    os.symlink(elsewhere, output / "runs/night-2")
    before = sorted(path.name for path in elsewhere.iterdir())
    assert [run.run_id for run in prune_compacted(str(output))[0]] == ["night-1"]
    assert [path.name for path in (output / "runs/night-1").iterdir()] == ["notes.txt"]
    assert sorted(path.name for path in elsewhere.iterdir()) == before
