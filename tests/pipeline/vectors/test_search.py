"""Searching an output: held against cosines of all its vectors, and refusals of what cannot be compared."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import load_features, search_output
from pipeline.errors import ModelError, RunError
from pipeline.vectors import querying, search
from tests.conftest import Run, photo, save_module
from tests.pipeline.vectors.conftest import Typed


@pytest.fixture
def output(two_nights: Path) -> str:
    return str(two_nights / "output")


def by_hand(output: str, query: np.ndarray, **options: Any) -> list[tuple[str, float]]:
    """(uri, cosine) of all images, the nearest first."""
    found = load_features(output, columns=(), **options)
    x = found.vectors.astype(np.float64)
    cosines = x @ query / np.linalg.norm(x, axis=1) / np.linalg.norm(query.astype(np.float64))
    return sorted(zip(found.uris, cosines.tolist(), strict=True), key=lambda each: (-each[1], each[0]))


def no_model(*_: Any, **__: Any) -> None:
    raise AssertionError("a model was asked for")


def changed_manifest(two_nights: Path, folder: Path, **entries: Any) -> str:
    """A copy of the output, the newest run's manifest of which says something else."""
    output = Path(shutil.copytree(two_nights / "output", folder / "changed"))
    file = output / "runs/night-2/run.json"
    manifest = json.loads(file.read_text())
    for name, value in entries.items():
        manifest[name] |= value
    file.write_text(json.dumps(manifest))
    return str(output)


def test_an_image_of_the_output_finds_itself_and_then_what_all_cosines_say(two_nights: Path, output: str) -> None:
    query = two_nights / "images/07.jpg"
    found = search_output(output, image=str(query), k=20)
    itself = load_features(output).vectors[load_features(output).uris.index(str(query))]
    wanted = by_hand(output, itself)
    assert [hit.uri for hit in found] == [uri for uri, _ in wanted]
    np.testing.assert_allclose([hit.cosine for hit in found], [cosine for _, cosine in wanted], atol=1e-6)
    assert found[0].uri == str(query)
    assert found[0].cosine == pytest.approx(1, abs=1e-6)
    assert len(found) == 12  # the deleted one is not among them


def test_a_uri_of_the_output_needs_no_model_and_is_left_out(
    two_nights: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "embed_as", no_model)
    monkeypatch.setattr(querying, "prepare_model", no_model)
    uri = str(two_nights / "images/03.jpg")
    features = load_features(output)
    wanted = by_hand(output, features.vectors[features.uris.index(uri)])
    assert wanted[0][0] == uri
    for k in (1, 4, 50):
        found = search_output(output, uri=uri, k=k)
        assert [hit.uri for hit in found] == [each for each, _ in wanted[1 : k + 1]]
    monkeypatch.chdir(two_nights)
    assert search_output(output, uri="images/03.jpg", k=50) == found


def test_a_member_of_a_container_is_searched_for(
    two_nights: Path, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as container:
        container.write(two_nights / "images/06.jpg", "in/a.jpg")
    monkeypatch.chdir(tmp_path)
    (hit,) = search_output(output, image="zip://in/a.jpg::some.zip", k=1)
    assert hit.uri == str(two_nights / "images/06.jpg")
    with pytest.raises(RunError, match=r"zip://in/b\.jpg::some\.zip: its container has no such image"):
        search_output(output, image="zip://in/b.jpg::some.zip")


def test_one_run_is_searched_as_it_was(two_nights: Path, output: str) -> None:
    uri = str(two_nights / "images/03.jpg")
    old = search_output(output, uri=uri, run_id="night-1", k=50)
    assert {Path(hit.uri).name for hit in old} == {f"{i:02}.jpg" for i in range(12) if i != 3}
    new = search_output(output, uri=uri, run_id="night-2", k=50)
    assert {Path(hit.uri).name for hit in new} == {"05.jpg", "12.jpg"}


def test_hits_tell_the_columns_that_are_asked_for(two_nights: Path, output: str) -> None:
    uri = str(two_nights / "images/12.jpg")
    all_told = {Path(hit.uri).name: hit.told for hit in search_output(output, uri=uri, k=50)}
    assert (all_told["05.jpg"]["image/class/label"], all_told["05.jpg"]["caption"]) == (9, "„5“")
    few = search_output(output, uri=uri, columns=["caption", "image/width"])[0].told
    assert list(few) == ["version", "caption", "image/width"]
    assert list(search_output(output, uri=uri, columns=())[0].told) == ["version"]


@pytest.mark.parametrize("name", ["04.jpg", "99.jpg"])
def test_a_uri_that_has_no_vector_is_told(name: str, two_nights: Path, output: str) -> None:
    with pytest.raises(RunError, match=rf"{name}: .*output has no vector of it; `embed-images latest"):
        search_output(output, uri=str(two_nights / "images" / name))
    with pytest.raises(RunError, match="run night-2 has no vector of it"):
        search_output(output, uri=str(two_nights / "images/00.jpg"), run_id="night-2")


def test_an_image_that_cannot_be_read_has_the_decoders_sentence(
    output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(querying, "prepare_model", no_model)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    whole = tmp_path / "whole.jpg"
    photo(60, 40).save(whole)
    (tmp_path / "half.jpg").write_bytes(whole.read_bytes()[:900])
    for name, message in [
        ("empty.jpg", "the object has no bytes"),
        ("page.jpg", "a web page|HTML"),
        ("half.jpg", "truncated|ends before"),
        ("none.jpg", "the object is gone, or was never there"),
    ]:
        with pytest.raises(RunError, match=rf"{name}: .*({message})"):
            search_output(output, image=str(tmp_path / name))


def test_a_vector_that_is_not_finite_is_refused(two_nights: Path, output: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(querying, "run_engine", lambda *_: np.full((1, 8), np.nan, np.float32))
    with pytest.raises(RunError, match=r"00\.jpg: the model gives it a vector with values that are not finite"):
        search_output(output, image=str(two_nights / "images/00.jpg"))


def test_a_module_that_is_gone_or_another_one_is_refused(
    two_nights: Path, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = str(two_nights / "images/00.jpg")
    gone = changed_manifest(two_nights, tmp_path, model={"handle": "/nothing/here"})
    with pytest.raises(
        ModelError, match=r"/nothing/here: no such folder.*--model names where the module of run night-2"
    ):
        search_output(gone, image=image)
    other = save_module(tmp_path / "other", forward=lambda kernel, images: {"default": images[:, 0, :, 0]})
    with monkeypatch.context() as patched:
        patched.setattr(querying, "prepare_model", no_model)
        with pytest.raises(ModelError, match=r"other: its digest is .*that of the module of run night-2 is"):
            search_output(output, image=image, model=str(other))


def test_a_module_that_was_moved_is_named(two_nights: Path, tmp_path: Path, tiny_module: str) -> None:
    gone = changed_manifest(two_nights, tmp_path, model={"handle": "/nothing/here"})
    moved = shutil.copytree(tiny_module, tmp_path / "moved")
    found = search_output(gone, image=str(two_nights / "images/00.jpg"), model=str(moved), k=1)
    assert found[0].uri == str(two_nights / "images/00.jpg")


def test_vectors_that_would_be_made_otherwise_are_refused(two_nights: Path, tmp_path: Path) -> None:
    image = str(two_nights / "images/00.jpg")
    with pytest.raises(RunError, match=r"prepared in another way than this program's \(version 7, here 1\)"):
        search_output(changed_manifest(two_nights, tmp_path, preprocessing={"version": 7}), image=image)
    shutil.rmtree(tmp_path / "changed")
    # The generation alone, since that is what tells which vectors can be compared.
    with pytest.raises(ModelError, match=r"cannot be compared with run night-2's \(precision\)"):
        search_output(changed_manifest(two_nights, tmp_path, generation={"precision": "bf16"}), image=image)


def test_an_engine_that_is_not_installed_is_named(
    two_nights: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.model.prepare.is_installed", lambda _: False)
    with pytest.raises(ModelError, match=r"engine litert is not installed: pip install 'embed-images\[litert\]'"):
        search_output(output, image=str(two_nights / "images/00.jpg"))


def test_int8_takes_the_artifact_of_the_runs_and_no_other(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), run_id="r", precision="int8", engine="litert", min_parity=0.0)
    output = tmp_path / "output"
    found = search_output(str(output), image=str(images / "05.jpg"), k=1)
    assert (found[0].uri, found[0].cosine) == (str(images / "05.jpg"), 1.0)
    before = sorted(output.rglob("*"))
    (artifact,) = (path for path in before if path.is_file() and "-int8-" in path.name)
    data = artifact.read_bytes()
    artifact.unlink()
    with pytest.raises(ModelError, match="the int8 artifact of the runs is not there"):
        search_output(str(output), image=str(images / "05.jpg"))
    assert not artifact.exists()
    artifact.write_bytes(data + b"\0")
    with pytest.raises(ModelError, match="its int8 artifact is another one than that of run r"):
        search_output(str(output), image=str(images / "05.jpg"))


def test_arguments_that_make_no_search_are_refused(output: str) -> None:
    for wrong in ({}, {"image": "a", "uri": "b"}, {"uri": "b", "k": 0}):
        with pytest.raises(ValueError, match="one of image and uri"):
            search_output(output, **wrong)


def test_the_command_prints_a_table_or_json_lines(two_nights: Path, output: str, typed: Typed) -> None:
    uri = str(two_nights / "images/12.jpg")
    hits = search_output(output, uri=uri, k=3)
    status, table, _ = typed("search", output, "--uri", uri, "-k", "3", "--columns", "caption,tags")
    head, *rows = table.splitlines()
    assert (status, head.split()) == (0, ["cosine", "uri", "caption", "tags"])
    assert [row.split()[:2] for row in rows] == [[f"{hit.cosine:.6f}", hit.uri] for hit in hits]
    status, lines, _ = typed("search", output, "--uri", uri, "-k", "3", "--json")
    found = [json.loads(line) for line in lines.splitlines()]
    assert [(each["uri"], each["cosine"]) for each in found] == [(hit.uri, hit.cosine) for hit in hits]
    assert [{"version": hit.told["version"], **each["columns"]} for each, hit in zip(found, hits, strict=True)] == [
        hit.told for hit in hits
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--uri=a", "-k=0"], 2, "-k: '0' is not allowed: a whole number from 1 to 10_000"),
        (["--uri=a", "--image=b"], 2, "not allowed with argument"),
        ([], 2, "one of the arguments --image --uri is required"),
        (["--uri=/no.jpg"], 1, "has no vector of it"),
        (["--image=IMAGE", "--model=/no/model"], 1, "embed-images: /no/model: no such folder"),
        (["--uri=/no.jpg", "--columns=colour"], 1, "no column 'colour'"),
        (["--uri=/no.jpg", "--run_id=night-9"], 1, "no published run 'night-9'"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], status: int, message: str, two_nights: Path, output: str, typed: Typed
) -> None:
    given = [argument.replace("IMAGE", str(two_nights / "images/00.jpg")) for argument in arguments]
    code, shown, error = typed("search", output, *given)
    assert (code, shown) == (status, "")
    assert message in error
    assert "Traceback" not in error
