"""Manifests and leases that are none: crafted, odd or unreadable ones block and cost nobody anything."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import OutputError
from pipeline.options.config import CompactConfig, make_config
from pipeline.outputs.history import published_runs
from pipeline.outputs.latest import latest
from pipeline.outputs.lease import lease
from pipeline.outputs.verify import verify_output
from pipeline.runs.compact import compact
from pipeline.runs.housekeeping import contents_of, prune
from pipeline.runs.run import run
from tests.conftest import Run, photo
from transforms.records import documents, layout
from transforms.stores.regular import NotAFileError
from transforms.stores.storage import TooLargeError, read_bytes

HEX = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Path:
    root = tmp_path_factory.mktemp("two")
    (root / "images").mkdir()
    photo(40, 30).save(root / "images/0.jpg")
    for run_id in ("bad", "good"):
        given = {"input": str(root / "images"), "output": str(root / "output"), "model": tiny_module, "run_id": run_id}
        run(make_config(given, []))
    return root


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(documents.MANIFEST_BYTES + 1)


def a_link(target: str) -> Callable[[Path], object]:
    return lambda path: [path.unlink(missing_ok=True), path.symlink_to(target)]


# What hangs who opens it, never ends, or is no file.
ODD_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": lambda path: [path.unlink(missing_ok=True), os.mkfifo(path)],
    "a folder": lambda path: [path.unlink(missing_ok=True), path.mkdir()],
    "a device": a_link("/dev/zero"),
    "a link to itself": a_link("run.json"),
}
BAD_MANIFESTS: dict[str, Callable[[Path], object]] = {
    "a list": lambda path: path.write_text("[]"),
    "no JSON": lambda path: path.write_text("{"),
    "nested": lambda path: path.write_text("[" * 100_000),
    "huge": huge,
    "missing": lambda path: path.unlink(),
    "a ledger elsewhere": lambda path: edit(path, lambda m: m["ledgers"][0].update(path="../../../elsewhere/x")),
    "a shard elsewhere": lambda path: edit(path, lambda m: m["shards"][0].update(path="/etc/passwd")),
    "counts of text": lambda path: edit(path, lambda m: m["counts"].update(embedded="12")),
    "another run's": lambda path: edit(path, lambda m: m.update(run_id="other")),
    "a phase below nothing": lambda path: edit(path, lambda m: m["phases"].update(images=-1.0)),
    "a shard of no time": lambda path: edit(path, lambda m: m["shards"][0].update(finished="\x1b[2J")),
    "no time": lambda path: edit(path, lambda m: m.update(as_of="\x1b[2J")),
    **ODD_FILES,
}


def edit(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize("kind", BAD_MANIFESTS)
def test_a_bad_manifest_is_passed_over_and_named_or_refused_where_it_would_be_missed(
    kind: str, two_runs: Path, tiny_module: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = str(tmp_path / "output")
    shutil.copytree(two_runs / "output", output)
    BAD_MANIFESTS[kind](tmp_path / "output/runs/bad/run.json")
    assert [run.run_id for run in contents_of(output).published] == ["good"]
    assert set(latest(output)["run_id"].to_pylist()) == {"good"}
    assert "passed over: " in caplog.text
    assert "runs/bad" in caplog.text
    assert not verify_output(output).holds
    given = {"input": str(two_runs / "images"), "output": output, "model": tiny_module, "run_id": "next"}
    for refuse in (
        lambda: run(make_config(given | {"incremental": True}, [])),
        lambda: compact(CompactConfig(output, "compacted", 1 << 20, "none", {})),
    ):
        with pytest.raises(OutputError, match=r"runs/bad.* mend it, or move its folder away"):
            refuse()
    report = run(make_config(given, []))
    assert report is not None
    assert report.manifest["counts"]["embedded"] == 1


BAD_LEASES: dict[str, Callable[[Path], object]] = {
    **{
        text: lambda path, text=text: path.write_text(text)  # type: ignore[misc]
        for text in ("{", "[]", "null", json.dumps({"attempt": "a", "host": "\x1b[2J", "pid": -1}))
    },
    **ODD_FILES,
}


@pytest.mark.parametrize("kind", BAD_LEASES)
def test_a_lease_that_is_none_blocks_nothing(kind: str, images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    for run_id in ("other", "another"):
        path = Path(layout.lease_file(str(tmp_path / "output"), run_id, 1))
        path.parent.mkdir(parents=True)
        BAD_LEASES[kind](path)
    claim = Path(layout.attempt_file(str(tmp_path / "output"), "another", HEX))
    claim.parent.mkdir()
    claim.write_text(json.dumps({"identity": {}, "generation": {}}))
    assert run_pipeline(input=str(images), run_id="r").manifest["counts"]["embedded"] == 12
    assert [run.run_id for run in contents_of(str(tmp_path / "output")).published] == ["r"]
    assert len(latest(str(tmp_path / "output"))) == 12
    assert [left.run_id for left in prune(str(tmp_path / "output"))] == ["another"]
    assert not claim.exists()


@pytest.fixture
def of_others(two_runs: Path) -> Iterator[Path]:
    """A copy of the output that all may look at; root becomes one who may not read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(shutil.copytree(two_runs / "output", Path(folder) / "output"))


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user whom modes of files bind."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_manifest_of_another_user_is_passed_over_and_named(of_others: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(latest(str(of_others))) == 1  # all that is imported is there
    contents_of(str(of_others))
    (of_others / "runs/bad/run.json").chmod(0)
    with as_nobody():
        assert [run.run_id for run in contents_of(str(of_others)).published] == ["good"]
        assert set(latest(str(of_others))["run_id"].to_pylist()) == {"good"}
        with pytest.raises(
            OutputError, match=r"runs/bad/run\.json: it cannot be read \(Permission denied\).*: mend it"
        ):
            published_runs(str(of_others), all_of_them=True)
    assert "passed over: " in caplog.text


def test_a_lease_of_another_user_holds_its_run(of_others: Path) -> None:
    """It may be one, and what it says is not known."""
    path = Path(layout.lease_file(str(of_others), "next", 1))
    claim = Path(layout.attempt_file(str(of_others), "next", HEX))
    claim.parent.mkdir(parents=True)
    claim.write_text(json.dumps({"identity": {}, "generation": {}}))
    path.write_text("{}")
    path.chmod(0)
    with as_nobody():
        (left,) = contents_of(str(of_others)).left_behind
        assert left.holder == "somebody whose lease cannot be read"
        assert prune(str(of_others)) == []
        with (
            pytest.raises(OutputError, match=r"lease-000001\.json: it cannot be read"),
            lease(str(of_others), "next", HEX, here=True),
        ):
            pass


@pytest.mark.parametrize("name", ["ledger-00000-of-00001.parquet", "features-00000-of-00001.tfrecord"])
def test_a_pipe_among_the_files_of_a_run_hangs_nobody(name: str, two_runs: Path, tmp_path: Path) -> None:
    output = shutil.copytree(two_runs / "output", tmp_path / "output")
    ODD_FILES["a pipe"](output / "runs/good" / name)
    assert not verify_output(str(output), "good").holds
    if name.startswith("ledger"):
        with pytest.raises(NotAFileError, match="a folder, a device or a pipe, not a file"):
            latest(str(output))


def test_a_lease_from_the_far_future_does_not_hold_for_ever(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    path = Path(layout.lease_file(str(tmp_path / "output"), "r", 1))
    path.parent.mkdir(parents=True)
    holder = {"attempt": HEX, "host": "elsewhere", "pid": 1, "here": True, "since": 4e9, "renewed": 4e9}
    path.write_text(json.dumps(holder))
    assert run_pipeline(input=str(images), run_id="r").manifest["counts"]["embedded"] == 12


SMALL = ",".join(f'"{i}":-1' for i in range(100_000))
LARGE = {
    "lists": "[" + ",".join(["[]"] * 1_300_000) + "]",  # a tenth of what so many bytes can hold
    "objects": '{"shards":[' + ",".join(['{"k":0}'] * 100_000) + "]}",
    "errors": '{"counts":{"failed_by_error":{' + SMALL + "}}}",
    "moves": '{"moves":{' + SMALL + "}}",
}


@pytest.mark.parametrize("kind", LARGE)
def test_a_large_manifest_costs_no_memory_of_note(kind: str, tmp_path: Path) -> None:
    """Parsed, lists are thirty times as large; of entries, pydantic keeps each fault; of an error, what was read."""
    for run_id in ("one", "two", "three"):
        folder = tmp_path / "runs" / run_id
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(LARGE[kind])
        (folder / "_SUCCESS").touch()
    assert documents.read_claim(str(tmp_path)) is None
    with pytest.raises(OutputError):
        documents.parse_staged_note(b"{}", "what is imported for the first time is counted for nobody")
    tracemalloc.start()
    try:
        assert published_runs(str(tmp_path), all_of_them=False) == []
        with pytest.raises(OutputError):
            documents.read_claim(str(folder))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50e6


def test_a_file_that_does_not_tell_its_size_is_not_read() -> None:
    """As those of /proc, behind a link; some of them do not end."""
    assert os.stat("/proc/self/status").st_size == 0
    with pytest.raises(TooLargeError, match="more than the 0 bytes"):
        read_bytes("/proc/self/status", 1 << 20)


def test_a_manifest_of_a_hundred_thousand_shards_is_read(two_runs: Path, tmp_path: Path) -> None:
    shutil.copytree(two_runs / "output", tmp_path / "output")
    path = tmp_path / "output/runs/good/run.json"
    manifest = json.loads(path.read_text())
    seal = {"records": 38_000, "bytes": 256 << 20, "crc32c": "0123abcd"}
    for kind, name in (("shards", "features"), ("ledgers", "ledger")):
        manifest[kind] = [{"path": layout.shard_name(name, i, 100_000), **seal} for i in range(100_000)]
    path.write_text(json.dumps(manifest, indent=2))  # as runs write it
    assert len(documents.read_manifest(str(path.parent), "good")["shards"]) == 100_000
