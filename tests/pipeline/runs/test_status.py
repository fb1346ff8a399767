"""How an output stands: the sentence of a night, what failed, and what a run without --incremental repeats."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.errors import RunError
from pipeline.outputs.failures import failure_lines, failures_of
from pipeline.outputs.latest import count_newest, latest, runs_of_newest_generation
from pipeline.runs.running import RunReport
from pipeline.runs.status import IN_WORDS, Newest, is_quiet, sentence, status_of
from pipeline.runs.summary import summary
from tests.conftest import Run

NOTHING = {
    "listed": 0, "unchanged": 0, "failed_before": 0, "outside": 0, "over_limit": 0, "embedded": 0,
    "new": 0, "changed": 0, "retried": 0, "repeated": 0, "columns_changed": 0,
    "failed": 0, "failed_by_error": {}, "duplicates": 0, "deleted": 0,
}  # fmt: skip


def counts(**given: Any) -> dict[str, Any]:
    return NOTHING | given


@pytest.mark.parametrize(
    ("found", "newest", "said"),
    [
        (
            counts(listed=625, unchanged=600, embedded=25, new=20, changed=5, deleted=3),
            Newest(625, 2),
            "625 images: 600 unchanged, 20 new, 5 changed, 3 gone; newest vectors of all 625 in 2 runs; nothing failed",
        ),
        (
            counts(listed=625, unchanged=625),
            Newest(625, 1),
            "625 images: all unchanged, a quiet night; newest vectors of all 625 in 1 run; nothing failed",
        ),
        (
            counts(listed=625, unchanged=620, failed_before=5),
            Newest(620, 2),
            "625 images: 620 unchanged, 5 failed before and left alone, a quiet night; newest vectors of 620 images in "
            "2 runs; nothing else failed",
        ),
        (  # one is gone, and of one that failed the vector of another version is there: as many, and not the same
            counts(listed=3, unchanged=2, changed=1, failed=1, failed_by_error={"NotAnImage": 1}),
            Newest(3, 1),
            "3 images: 2 unchanged, 1 changed; newest vectors of 3 images in 1 run; 1 failed (1 NotAnImage)",
        ),
        (
            {name: count for name, count in counts(listed=9, embedded=7, unchanged=2).items() if name != "new"},
            None,
            "9 images: 2 unchanged, 7 embedded; nothing failed",
        ),
        (
            counts(listed=1, embedded=1, repeated=1),
            None,
            "1 image: 1 embedded again, without a version in the listing; nothing failed",
        ),
    ],
)
def test_a_night_is_one_sentence(found: dict[str, Any], newest: Newest | None, said: str) -> None:
    assert sentence(found, newest) == said


@given(st.fixed_dictionaries({name: st.integers(0, 3) for name in IN_WORDS}), st.integers(0, 2), st.data())
def test_the_numbers_of_a_sentence_add_up(parts: dict[str, int], deleted: int, data: st.DataObject) -> None:
    done = sum(parts[name] for name in ("new", "changed", "retried", "repeated", "columns_changed"))
    failed = data.draw(st.integers(0, done))
    told = counts(**parts, listed=sum(parts.values()), embedded=done - failed, failed=failed, deleted=deleted)
    first = sentence(told | {"failed_by_error": {"NotFound": failed}}, None).partition(";")[0]
    listed, _, rest = first.partition(": ")
    if is_quiet(told):
        assert done == deleted == 0 < parts["unchanged"] + parts["failed_before"]
        assert "a quiet night" in rest
    else:
        numbers = [int(part.split()[0]) for part in rest.split(", ") if part[:1].isdigit()]
        assert sum(numbers) == sum(parts.values()) + deleted
    assert int(listed.split()[0]) == sum(parts.values())


def test_newest_vectors_are_counted_as_they_are_selected(two_nights: Path) -> None:
    output = str(two_nights / "output")
    assert count_newest(runs_of_newest_generation(output)) == Counter(latest(output)["run_id"].to_pylist())
    status = status_of(output)
    assert status.newest == Newest(12, 2)
    assert status.as_text().splitlines()[1] == (
        "12 images: 9 unchanged, 1 new, 1 changed, 1 with other columns, 1 gone; newest vectors of all 12 in 2 runs; "
        "nothing failed"
    )
    assert not any(line.startswith("dead letters") for line in status.as_text().splitlines())


@pytest.mark.whole
def test_a_run_says_where_its_dead_letters_are_and_one_of_each_class(
    images: Path, run_pipeline: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.jpg", "b b.jpg"):
        (images / name).write_text("no image" * 1000)
    (images / "c.jpg").touch()
    report = run_pipeline(input=str(images), run_id="r", incremental=True)
    lines = summary(report).splitlines()[-4:]
    assert lines[0] == (
        "15 images: 15 new; newest vectors of 12 images in 1 run; 3 failed (2 NotAnImage, 1 EmptyObject)"
    )
    where = lines[1].removeprefix("dead letters: ")
    letters = {letter["uri"]: letter for letter in map(json.loads, Path(where).read_text().splitlines())}
    assert lines[2].startswith("  2 NotAnImage, such as ")
    assert lines[3].startswith("  1 EmptyObject, such as ")
    for line in lines[2:]:
        (uri,) = [uri for uri in letters if f"such as {uri}: " in line]
        assert line.endswith(letters[uri]["message"])
    output = report.folder.rpartition("/runs/")[0]
    with pytest.raises(SystemExit) as exited:
        main(["status", output])
    assert not exited.value.code
    assert capsys.readouterr().out.splitlines()[1:] == lines
    with pytest.raises(SystemExit):
        main(["status", output, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["run"]["counts"] == report.manifest["counts"]
    assert told["newest"] == {"vectors": 12, "runs": 1}
    assert {each["error"]: each["images"] for each in told["run"]["failures"]} == {"NotAnImage": 2, "EmptyObject": 1}
    assert told["run"]["dead_letters"] == [where]
    assert told["refused"] == []
    with pytest.raises(RunError, match=r"--max_failure_rate allows 0\.0%"):
        run_pipeline(input=str(images), run_id="strict", max_failure_rate=0.0)
    shown = status_of(output).as_text().splitlines()
    assert shown[1:5] == lines
    assert shown[5].startswith(
        "refused since: run strict: 3 of 15 images failed (20.0%), most of them with NotAnImage (2)"
    )
    assert shown[6].startswith(f"dead letters: {output}/refused/strict/dead_letters-")
    assert json.loads(status_of(output).as_json())["refused"][0]["run_id"] == "strict"
    run_pipeline(input=str(images), run_id="s", incremental=True)
    assert not any(line.startswith("refused") for line in status_of(output).as_text().splitlines())


def test_a_class_without_an_example_is_counted_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "dead letters").write_text('{"uri": "u", "error": "A", "message": "' + "m" * 500 + '"}\n')
    manifest = {
        "counts": {"failed": 3, "failed_by_error": {"B": 2, "A": 1}},
        "dead_letters": [{"path": "dead letters"}],
    }
    assert [failure.uri for failure in failures_of(str(tmp_path), manifest)] == ["", "u"]
    where, second, first = failure_lines(str(tmp_path), manifest)
    assert where == f"dead letters: {tmp_path}/'dead letters'"
    assert second == "  2 B"
    assert len(first) < 250


def test_the_end_of_a_run_survives_what_cannot_be_read(two_nights: Path, tmp_path: Path) -> None:
    """The run is published, whatever becomes of others."""
    output = Path(shutil.copytree(two_nights / "output", tmp_path / "output"))
    manifest = json.loads((output / "runs/night-2/run.json").read_text())
    for ledger in (output / "runs/night-1").glob("ledger-*"):
        ledger.write_bytes(b"no ledger")
    last = summary(RunReport(str(output / "runs/night-2"), manifest)).splitlines()[-1]
    assert last == "12 images: 9 unchanged, 1 new, 1 changed, 1 with other columns, 1 gone; nothing failed"


@pytest.mark.whole
def test_a_run_that_looks_at_no_earlier_one_says_what_it_repeats(
    images: Path, run_pipeline: Run, caplog: pytest.LogCaptureFixture
) -> None:
    run_pipeline(input=str(images), run_id="first")
    assert "earlier runs" not in caplog.text
    (images / "00.jpg").touch()
    (images / "new.jpg").write_bytes((images / "01.jpg").read_bytes())
    report = run_pipeline(input=str(images), run_id="second")
    assert "have the vectors of 11 images already (of 13 that were looked up, the first of the inputs)" in caplog.text
    assert "--incremental embeds only what is new or changed" in caplog.text
    assert "new" not in report.manifest["counts"]
    caplog.clear()
    run_pipeline(input=str(images), run_id="third", incremental=True)
    assert "earlier runs" not in caplog.text
    for ledger in Path(report.folder).glob("ledger-*"):
        ledger.write_bytes(b"no ledger")
    run_pipeline(input=str(images), run_id="fourth")  # which needs none
    assert "earlier runs" not in caplog.text
