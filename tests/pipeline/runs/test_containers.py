"""Runs over containers: the same vectors, columns and counts as over the same images loose, member by member."""

from __future__ import annotations

import itertools
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.outputs.dataset import read_shard
from pipeline.outputs.verify import verify_output
from pipeline.runs.running import RunReport
from tests.conftest import Run
from tests.pipeline.runs import forms
from tests.pipeline.runs.corpora import dead_letters, ledger_rows
from tests.pipeline.runs.forms import BROKEN, COUNT, FORMS, LABELLED, Photo, corpus
from tests.reading import newest_vectors, run_vectors
from transforms.inputs.containers.naming import container_of, member_of
from transforms.inputs.rules import ListingError

pytestmark = pytest.mark.corpora


@pytest.fixture(scope="session")
def photos() -> list[Photo]:
    return corpus()


def records(report: RunReport) -> Counter[tuple[bytes, bytes, int | None, bytes | None]]:
    """(vector, digest of the image, label, caption) of every record."""
    found: Counter[tuple[bytes, bytes, int | None, bytes | None]] = Counter()
    for shard in report.manifest["shards"]:
        for batch in read_shard(f"{report.folder}/{shard['path']}"):
            columns = {
                name: batch.column(name).to_pylist() if name in batch.schema.names else [None] * batch.num_rows
                for name in ("image/embedding", "image/key/sha256", "cls", "caption")
            }
            for vector, sha256, label, caption in zip(*columns.values(), strict=True):
                one = label[0] if label else None
                found[repr(vector).encode(), sha256[0], one, caption[0] if caption else None] += 1
    return found


def counts_of(report: RunReport) -> dict[str, Any]:
    """The counts that are not zero."""
    return {name: count for name, count in report.manifest["counts"].items() if count}


@pytest.mark.parametrize("form", LABELLED)
def test_containers_give_what_loose_files_give(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run, form: str
) -> None:
    wanted = run_pipeline(input=forms.loose(photos, tmp_path), columns="cls,caption", run_id="loose")
    given = FORMS[form](photos, tmp_path)
    report = run_pipeline(input=given, columns="cls,caption", run_id=form)
    assert records(report) == records(wanted)
    counts, wanted_counts = report.manifest["counts"], wanted.manifest["counts"]
    for name in ("listed", "embedded", "failed", "failed_by_error"):
        assert counts[name] == wanted_counts[name]
    assert counts["containers"] == 1
    (letter,) = dead_letters(report)
    assert (letter["error"], letter["columns"]) == (
        dead_letters(wanted)[0]["error"],
        {"caption": photos[BROKEN].caption, "cls": photos[BROKEN].label},
    )
    assert container_of(letter["uri"]) == given[0]
    assert report.manifest["columns"] == wanted.manifest["columns"]
    assert verify_output(str(tmp_path / "output")).holds


def night(run_pipeline: Run, given: list[str], run_id: str, **options: Any) -> RunReport:
    return run_pipeline(input=given, run_id=run_id, incremental=True, **{"columns": "cls,caption", **options})


@pytest.mark.parametrize("form", LABELLED)
def test_an_unchanged_container_is_not_opened(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = FORMS[form](photos, tmp_path)
    given = [f"{made[:-1]}?"]  # a glob: of a Parquet that is named it is asked whether it is a manifest
    night(run_pipeline, given, "night-1")
    path = Path(made)
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))  # what would be found in it now is damage
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    monkeypatch.setattr("pipeline.runs.run.check_inputs", lambda *_: None)  # which look into it at the launch
    monkeypatch.setattr("pipeline.runs.launching.kinds_of_columns", lambda *_: {"cls": "int64", "caption": "text"})
    assert counts_of(night(run_pipeline, given, "night-2")) == {
        "listed": COUNT, "unchanged": COUNT - 1, "failed_before": 1,
    }  # fmt: skip


def test_a_container_that_changes(tmp_path: Path, photos: list[Photo], run_pipeline: Run) -> None:
    """Its members have its version, so all are embedded again; those that are gone are noted, once."""
    given = forms.tar(photos, tmp_path)
    first = night(run_pipeline, given, "night-1")
    forms.tar(photos[3:], tmp_path)
    counts = counts_of(night(run_pipeline, given, "night-2"))
    assert (counts["listed"], counts["embedded"], counts["deleted"]) == (COUNT - 3, COUNT - 4, 3)
    counts = counts_of(night(run_pipeline, given, "night-3"))
    assert counts == {"listed": COUNT - 3, "unchanged": COUNT - 4, "failed_before": 1}
    uris, _ = newest_vectors(str(tmp_path / "output"))
    assert len(uris) == COUNT - 4
    assert verify_output(str(tmp_path / "output")).holds
    assert len(run_vectors(first.folder)[0]) == COUNT - 1


def test_a_container_that_goes(tmp_path: Path, photos: list[Photo], run_pipeline: Run) -> None:
    forms.tar(photos[:12], tmp_path, name="a.tar")
    forms.tar(photos[12:], tmp_path, name="b.tar")
    given = [str(tmp_path / "*.tar")]
    assert counts_of(night(run_pipeline, given, "night-1"))["containers"] == 2
    (tmp_path / "b.tar").unlink()
    counts = counts_of(night(run_pipeline, given, "night-2"))
    assert counts == {"listed": 12, "unchanged": 11, "failed_before": 1, "deleted": 12}
    counts = counts_of(night(run_pipeline, given, "night-3"))
    assert counts == {"listed": 12, "unchanged": 11, "failed_before": 1}


def test_other_columns_are_written_beside_the_same_vectors(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run
) -> None:
    given = forms.tar(photos, tmp_path)
    first = night(run_pipeline, given, "night-1", columns="cls")
    second = night(run_pipeline, given, "night-2")
    counts = counts_of(second)
    assert (counts["columns_changed"], counts["embedded"], counts["failed_before"]) == (COUNT - 1, COUNT - 1, 1)
    assert {(vector, sha256, label) for vector, sha256, label, _ in records(second)} == {
        (vector, sha256, label) for vector, sha256, label, _ in records(first)
    }
    assert "unchanged" in counts_of(night(run_pipeline, given, "night-3"))


@pytest.mark.parametrize("form", ["tar", "tfrecord"])
def test_a_damaged_container_loses_the_rest_by_name(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run, form: str
) -> None:
    given = FORMS[form](photos, tmp_path)
    whole = Path(given[0]).read_bytes()
    Path(given[0]).write_bytes(whole[: len(whole) * 2 // 3])
    report = night(run_pipeline, given, "night-1")
    counts = counts_of(report)
    told = counts["listed"] - 1
    assert 10 < told < COUNT
    assert counts["failed_by_error"] == {"DamagedContainer": 1, dead_letters(report)[0]["error"]: 1} or counts[
        "failed_by_error"
    ].keys() >= {"DamagedContainer"}
    assert counts["embedded"] == told - 1
    (letter,) = [letter for letter in dead_letters(report) if letter["error"] == "DamagedContainer"]
    assert (letter["uri"], letter["stage"]) == (given[0], "unpack")
    again = counts_of(night(run_pipeline, given, "night-2"))
    assert again == {"listed": told + 1, "unchanged": told - 1, "failed_before": 2}
    Path(given[0]).write_bytes(whole)
    mended = counts_of(night(run_pipeline, given, "night-3"))
    assert (mended["listed"], mended["embedded"]) == (COUNT, COUNT - 1)
    assert "deleted" not in mended
    assert verify_output(str(tmp_path / "output")).holds


def test_what_a_damaged_container_hides_is_not_taken_for_gone(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run
) -> None:
    given = forms.tar(photos, tmp_path)
    night(run_pipeline, given, "night-1")
    whole = Path(given[0]).read_bytes()
    Path(given[0]).write_bytes(whole[: len(whole) * 2 // 3])
    counts = counts_of(night(run_pipeline, given, "night-2"))
    assert counts["failed_by_error"]["DamagedContainer"] == 1
    assert "deleted" not in counts


@pytest.mark.parametrize("options", [{"limit": 5}, {"dedup": "listing"}, {"limit": 100, "dedup": "listing"}])
def test_members_that_cross_a_shuffle_are_read_again(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run, options: dict[str, Any]
) -> None:
    whole = records(run_pipeline(input=forms.loose(photos, tmp_path), columns="cls,caption", run_id="loose"))
    given = [*forms.tar(photos, tmp_path), str(tmp_path / "loose" / "cats" / "000.jpg")]
    report = run_pipeline(input=given, columns="cls,caption", run_id="tar", **options)
    counts, found = report.manifest["counts"], records(report)
    assert counts["embedded"] + counts["failed"] == min(COUNT + 1, options.get("limit", COUNT + 1))
    labelled = Counter({key: count for key, count in found.items() if key[2] is not None})
    assert labelled <= whole
    assert labelled.total() >= counts["embedded"] - 1  # the loose one has no label
    assert verify_output(str(tmp_path / "output")).holds


def test_what_is_chosen_of_a_container(tmp_path: Path, photos: list[Photo], run_pipeline: Run) -> None:
    given = forms.tar(photos, tmp_path)
    report = run_pipeline(input=given, exclude=["dogs"], run_id="cats")
    assert report.manifest["counts"]["listed"] == COUNT // 2
    assert report.manifest["counts"]["left_out"] == {".cls": COUNT, ".json": COUNT, "excluded": COUNT // 2}
    half = run_pipeline(input=given, sample=0.5, run_id="half")
    again = run_pipeline(input=given, sample=0.5, run_id="again")
    assert run_vectors(half.folder)[0] == run_vectors(again.folder)[0]
    assert 0 < half.manifest["counts"]["listed"] < COUNT
    labelled = run_pipeline(input=given, label_from="folder", run_id="labelled")
    carried = {
        member_of(row["uri"]): json.loads(row["columns"])["image/class/text"]
        for row in ledger_rows(labelled)
        if row["outcome"] == "embedded"
    }
    assert carried == {f"{each.name}.jpg": each.name.partition("/")[0] for i, each in enumerate(photos) if i != BROKEN}


def test_a_killed_run_goes_on_within_a_container(
    tmp_path: Path, photos: list[Photo], run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container breaks while it is read, and the job with it, after some shards were full."""
    wanted = records(run_pipeline(input=forms.tar(photos, tmp_path), columns="cls,caption", run_id="whole"))
    given = forms.tar(photos, tmp_path, name="again.tar")
    from transforms import unpacking

    read, calls = unpacking.read_container, itertools.count()

    def breaking(*arguments: Any) -> Any:
        call = next(calls)  # the first one is the launcher's, who takes a sample
        for number, image in enumerate(read(*arguments)):
            if call and number == 18:
                raise RuntimeError("the worker is gone")
            yield image

    small = {"shard_size": 300, "batch_size": 1, "fetch_concurrency": 1, "columns": "cls,caption", "run_id": "killed"}
    monkeypatch.setattr(unpacking, "read_container", breaking)
    monkeypatch.setattr("transforms.encoding.EncodeExamples.__init__", _small_batches)
    with pytest.raises(Exception, match="the worker is gone"):
        run_pipeline(input=given, **small)
    monkeypatch.setattr(unpacking, "read_container", read)
    report = run_pipeline(input=given, **small)
    assert report.images < COUNT - 5  # the others were taken over
    assert records(report) == wanted
    assert verify_output(str(tmp_path / "output")).holds


def _small_batches(self: Any, batch_size: int = 2) -> None:
    self.batch_size = batch_size


def test_a_folder_leaves_containers_to_who_names_them(tmp_path: Path, photos: list[Photo], run_pipeline: Run) -> None:
    (tmp_path / "in").mkdir()
    forms.tar(photos, tmp_path / "in")
    with pytest.raises(
        ListingError, match=r"holds no image; 1 are containers of images \(name them, or give a glob such as \*\.tar\)"
    ):
        run_pipeline(input=str(tmp_path / "in"))


def test_what_is_no_container_is_refused_at_launch(tmp_path: Path, run_pipeline: Run) -> None:
    (tmp_path / "x.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(Exception, match=r"--input: .*x\.tar: it begins with b'no tar at all"):
        run_pipeline(input=str(tmp_path / "x.tar"))


def test_manifests_may_name_containers(tmp_path: Path, photos: list[Photo], run_pipeline: Run) -> None:
    forms.tar(photos, tmp_path)
    (tmp_path / "shards.txt").write_text("shard.tar\n")
    report = run_pipeline(input=str(tmp_path / "shards.txt"), columns="cls,caption", incremental=True, run_id="one")
    assert report.manifest["counts"]["embedded"] == COUNT - 1
    again = run_pipeline(input=str(tmp_path / "shards.txt"), columns="cls,caption", incremental=True, run_id="two")
    assert again.manifest["counts"]["unchanged"] == COUNT - 1
