"""Commands at places that are not there, may not be looked into, or are none: one sentence each, and its exit code."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main
from pipeline.outputs.latest import latest
from tests.integration.stores.test_first_answer import TYPED
from tests.security.test_bad_documents import as_nobody, of_others, two_runs  # noqa: F401 - fixtures
from transforms.stores.folders import scheme_hint

READING = [name for name in TYPED if name.partition(" ")[0] not in ("run", "plan")]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Types a command; gives its exit code and the line that it says on stderr."""
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business

    def type_it(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as exited:
            main(arguments)
        return int(str(exited.value.code)), capsys.readouterr().err.removesuffix("\n")

    return type_it


def at(name: str, place: str, folder: Path) -> list[str]:
    return [part.format(place=place, local=folder, model="none") for part in TYPED[name]]


@pytest.mark.parametrize("name", READING)
def test_an_output_that_is_none_is_named(name: str, said: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    nothing = f"{tmp_path}/nothing"
    assert said(*at(name, nothing, tmp_path)) == (
        1,
        f"embed-images: {nothing}: no published run: there is no such folder",
    )
    (tmp_path / "file").write_text("")
    status, line = said(*at(name, f"{tmp_path}/file", tmp_path))
    assert (status, line) == (1, f"embed-images: {tmp_path}/file: no folder that may be read (Not a directory)")
    status, line = said(*at(name, "shop/features", tmp_path))
    assert status == 1
    assert line.endswith("the scheme is part of the name: gs://shop/features, s3://shop/features, az://shop/features")


@pytest.mark.parametrize("place", ["s3:/bucket/x", "gs:bucket/x", "ftp://host/x", "http://host/x"])
@pytest.mark.parametrize("name", ["run", *READING])
def test_what_is_no_folder_anywhere_is_refused_as_an_option(
    name: str, place: str, said: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status, line = said(*at(name, place, tmp_path))
    assert status == 2
    assert line.startswith(f"embed-images: {'--output' if name == 'run' else 'OUTPUT'}: '{place}' is not allowed: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", READING)
def test_folders_of_others_are_not_taken_for_ones_without_runs(
    name: str,
    said: Callable[..., tuple[int, str]],
    of_others: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Of which what is in the way may be the output itself, or a folder in it."""
    said("verify", str(of_others))  # all that is imported is there
    for folder in (of_others, of_others / "runs"):
        folder.chmod(0)
        with as_nobody():
            status, line = said(*at(name, str(of_others), tmp_path))
        folder.chmod(0o755)
        assert status == 1
        assert (line.startswith("embed-images: "), line.count("\n")) == (True, 0)
        assert str(of_others) in line
        assert "ermission denied" in line


def test_an_input_without_its_scheme_gets_a_hint(
    said: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, line = said("run", "--input=shop/photos/", "--output=out")
    assert line.endswith("is part of the name: gs://shop/photos/, s3://shop/photos/, az://shop/photos/")
    assert scheme_hint("s3://shop/photos/") == ""  # it has one
    (tmp_path / "shop").mkdir()
    _, line = said("run", "--input=shop/photos/", "--output=out")
    assert line.endswith("and no glob (which has *, ? or [)")


def test_an_option_that_no_web_server_has_is_refused(said: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    given = ["run", f"--input={tmp_path}", f"--output={tmp_path}/out", "--storage_option=https.header={A: b}"]
    status, line = said(*given)
    wanted = "https.header is no option of https://; did you mean https.headers?"
    assert (status, line.splitlines()[-1]) == (2, f"embed-images: --storage_option: not allowed: {wanted}")


def test_the_demo_is_told_where_it_may_write(said: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    status, line = said("demo", "--output=s3://bucket/demo")
    assert (status, "a local folder" in line) == (2, True)
    (tmp_path / "file").write_text("")
    status, line = said("demo", f"--output={tmp_path}/file/demo")
    assert (status, line.splitlines()[-1].startswith(f"embed-images: {tmp_path}/file/demo: NotADirectoryError")) == (
        1,
        True,
    )
    (tmp_path / "images").mkdir()
    status, line = said("demo", f"--output={tmp_path}")
    assert line.splitlines()[-1].endswith("holds no image (--input: of `embed-images run`)")


def test_latest_writes_what_the_name_says(
    two_nights: Path, tmp_path: Path, said: Callable[..., tuple[int, str]]
) -> None:
    output = str(two_nights / "output")
    expected = latest(output)
    for name in ("new.csv", "new.jsonl", "new.parquet"):
        assert said("latest", output, "--to", str(tmp_path / name)) == (0, "")
    assert pq.read_table(tmp_path / "new.parquet").equals(expected)
    assert pyarrow.csv.read_csv(tmp_path / "new.csv").cast(expected.schema).equals(expected)
    rows = pyarrow.json.read_json(tmp_path / "new.jsonl")
    assert rows.to_pylist() == expected.to_pylist()
    for name in ("latest", "duplicates"):
        status, line = said(name, output, "--to", f"{tmp_path}/new.xls")
        assert (status, line) == (
            2,
            f"embed-images: --to: '{tmp_path}/new.xls' is not allowed: a file that ends in .parquet, .csv, .jsonl, "
            f".ndjson, which says what it is written as",
        )
    assert sorted(os.listdir(tmp_path)) == ["new.csv", "new.jsonl", "new.parquet"]


def test_hyphens_are_underscores(two_nights: Path, said: Callable[..., tuple[int, str]]) -> None:
    output = str(two_nights / "output")
    assert said("verify", output, "--run-id=night-1") == (0, "")
    status, line = said("duplicates", output, "--min-cosine", "2")
    assert (status, line) == (2, "embed-images: --min_cosine: '2' is not allowed: a number from 0 to 1")
    status, line = said("run", "--no-wait", "--max-failure-rate=2", "--input=a", "--output=b")
    assert (status, line) == (2, "embed-images: --max_failure_rate: '2' is not allowed: a number from 0 to 1")
    status, line = said("run", "--input=a", "--output=b", "--bath-size=2")
    assert (status, line.endswith("did you mean batch_size?")) == (2, True)


def test_a_moved_manifest_tells_where_its_relative_paths_start(
    said: Callable[..., tuple[int, str]], images: Path, tiny_module: str, tmp_path: Path
) -> None:
    moved = tmp_path / "moved" / "list.csv"
    moved.parent.mkdir()
    moved.write_text("uri\n" + "".join(f"images/{path.name}\n" for path in images.iterdir()))
    status, line = said("run", f"--input={moved}", f"--output={tmp_path}/output", f"--model={tiny_module}")
    where = f"relative paths in {moved} start from its folder, {moved.parent}"
    assert status == 1
    assert line.splitlines()[-1].startswith("embed-images: nothing is published: 12 of 12 images failed (100.0%)")
    assert line.endswith(where)
    moved.write_text("".join(f"uri\n{path}.gone\n" for path in [images]))
    _, line = said("run", f"--input={moved}", f"--output={tmp_path}/output", f"--model={tiny_module}")
    assert "1 of 1 images failed" in line
    assert "relative" not in line
