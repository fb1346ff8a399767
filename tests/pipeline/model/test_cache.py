"""The cache: whose it is, what it holds, what is not believed of it; and what a warm start does without."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model import artifacts, fidelity
from pipeline.model.cache import cached, private_cache
from pipeline.model.fidelity import measured_parity
from pipeline.model.prepare import prepare_model
from pipeline.model.sampling import Probes, Sample, procedural_sample
from pipeline.model.sealing import digest_of, sealed
from tests.conftest import Run


@pytest.fixture(autouse=True)
def cache_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_cache_is_made_for_this_user_alone(cache_of_the_test: Path) -> None:
    private_cache()
    assert cache_of_the_test.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o770, 0o702])
def test_a_cache_that_others_can_write_to_is_refused(cache_of_the_test: Path, tiny_module: str, mode: int) -> None:
    prepare_model(tiny_module, "litert")
    cache_of_the_test.chmod(mode)
    with pytest.raises(
        ModelError, match=r"can be written to by others .*EMBED_IMAGES_CACHE_DIR.*chmod -R go-w"
    ) as refused:
        prepare_model(tiny_module, "litert")
    assert str(refused.value).startswith(f"{cache_of_the_test} ")
    cache_of_the_test.chmod(0o755)
    prepare_model(tiny_module, "litert")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_cache_of_another_user_is_refused(cache_of_the_test: Path, tiny_module: str) -> None:
    cache_of_the_test.mkdir()
    os.chown(cache_of_the_test, 65534, 65534)
    with pytest.raises(ModelError, match=r"belongs to another user \(uid 65534\).*EMBED_IMAGES_CACHE_DIR"):
        prepare_model(tiny_module, "litert")


def under_a_file(folder: Path) -> None:
    folder.parent.write_bytes(b"")


def read_only(folder: Path) -> None:
    folder.parent.mkdir()
    folder.parent.chmod(0o500)


@pytest.mark.parametrize("make", [under_a_file, read_only])
def test_a_home_that_cannot_be_written_names_the_variable(
    tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    if make is read_only and os.geteuid() == 0:
        pytest.skip("root may write to folders that are read-only")
    monkeypatch.delenv("EMBED_IMAGES_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make(tmp_path / "home" / ".cache")
    with pytest.raises(
        ModelError, match=r"the cache .*home/\.cache/embed-images cannot be written \(.*\); name a folder"
    ):
        prepare_model(tiny_module, "litert")


def test_a_user_without_a_home_is_told_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBED_IMAGES_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(ModelError, match=r"no home folder .*EMBED_IMAGES_CACHE_DIR"):
        private_cache()


def test_a_build_that_fails_leaves_nothing(cache_of_the_test: Path) -> None:
    def build(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").write_bytes(b"x")
        raise RuntimeError

    for make in (lambda: cached("kind/key", build), lambda: sealed("kind", {}, build, str)):
        with pytest.raises(RuntimeError):
            make()
    assert list(cache_of_the_test.rglob("*")) == [cache_of_the_test / "kind"]


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_whatever_is_changed_in_the_cache_is_made_anew(cache_of_the_test: Path, tiny_module: str) -> None:
    """Each file of each entry: emptied, one bit turned, gone, replaced by JSON of another shape."""
    before = prepare_model(tiny_module, "litert")
    made = {path: path.read_bytes() for path in entries(cache_of_the_test)}
    assert {path.parent.name for path in made} == {
        "content",
        *(path.parent.name for path in made if path.name == "seal.json"),
    }
    for path, content in made.items():
        turned = bytes([content[0] ^ 1, *content[1:]])
        for damage in (b"", turned, b"[]", b'{"sha256": 1}', None):
            path.unlink() if damage is None else path.write_bytes(damage)
            assert prepare_model(tiny_module, "litert") == before
    after = {path: path.read_bytes() for path in entries(cache_of_the_test)}
    assert set(after) == set(made)


def test_what_is_added_to_an_entry_is_not_believed(cache_of_the_test: Path) -> None:
    def build(folder: Path) -> None:
        folder.mkdir()
        (folder / "saved_model.pb").write_bytes(b"graph")

    folder = sealed("archives", {"sha256": "x"}, build, lambda folder: folder)
    (folder / "variables").mkdir()
    (folder / "variables/planted").write_bytes(b"weights")
    assert [path.name for path in sealed("archives", {"sha256": "x"}, build, lambda f: f).iterdir()] == [
        "saved_model.pb"
    ]


def test_an_entry_of_something_else_is_not_believed(cache_of_the_test: Path) -> None:
    """A whole one, with its seal, in the place of another."""

    def build(value: str) -> Callable[[Path], None]:
        def write(folder: Path) -> None:
            folder.mkdir()
            (folder / "value").write_text(value)

        return write

    def read(folder: Path) -> str:
        return (folder / "value").read_text()

    assert sealed("kind", {"of": "a"}, build("a"), read) == "a"
    (of_a,) = (cache_of_the_test / "kind").iterdir()
    assert sealed("kind", {"of": "b"}, build("b"), read) == "b"
    (of_b,) = set((cache_of_the_test / "kind").iterdir()) - {of_a}
    for path in of_a.rglob("*"):
        if path.is_file():
            (of_b / path.relative_to(of_a)).write_bytes(path.read_bytes())
    assert sealed("kind", {"of": "b"}, build("b"), read) == "b"


def test_parity_depends_on_all_that_it_is_of(tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change of one thing measures anew; the same again does not."""
    model = prepare_model(tiny_module, "litert")
    measured = []
    measure = fidelity.measure_parity
    monkeypatch.setattr(fidelity, "measure_parity", lambda *given: measured.append(1) or measure(*given))
    sample = procedural_sample(model.input_size)
    pixels = sample.probes.pixels
    measured_parity(model, sample)
    assert measured == [], "by prepare_model"
    others = [
        (replace(model, digest="0" * 64), sample),
        (replace(model, artifact_sha256="0" * 64), sample),
        (replace(model, signature=None), sample),
        (replace(model, output_name=None), sample),
        (model, Sample(lambda: Probes(pixels, "input"))),
        (model, Sample(lambda: Probes(pixels[:7], "procedural"))),
        (model, Sample(lambda: Probes(np.roll(pixels, 1, axis=2), "procedural"))),
    ]
    for number, given in enumerate(others, 1):
        for _ in range(2):
            measured_parity(*given)
            assert len(measured) == number
    monkeypatch.setattr(fidelity, "processor", lambda: "another one")
    measured_parity(model, sample)
    monkeypatch.setattr(fidelity, "version_of", lambda package: f"{package} of tomorrow")
    measured_parity(model, sample)
    assert len(measured) == len(others) + 2


def test_probes_that_were_measured_before_are_not_loaded(tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = prepare_model(tiny_module, "litert")
    pixels = procedural_sample(model.input_size).probes.pixels
    depends = {"images": [["a.jpg", "1"]]}
    loaded = []

    def load(count: int = 4) -> Probes:
        loaded.append(count)
        return Probes(pixels[:count], "input")

    first = measured_parity(model, Sample(load, depends=depends))
    assert measured_parity(model, Sample(load, depends=depends)) == first
    assert loaded == [4]
    measured_parity(model, Sample(load, depends={"images": [["a.jpg", "2"]]}))
    assert loaded == [4, 4], "another version"

    monkeypatch.setattr(fidelity, "processor", lambda: "another one")
    late = measured_parity(model, Sample(partial(load, 3), depends=depends))
    assert (late["count"], loaded) == (3, [4, 4, 3]), "measured on what is there, not on what was kept"
    assert measured_parity(model, Sample(load, depends=depends))["count"] == 4


def test_a_module_that_changes_while_it_is_read_is_not_kept(
    tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a training job does that exports to the same folder: its new weights under the old digest."""
    folder = tmp_path / "module"
    shutil.copytree(tiny_module, folder)
    data, convert = folder / "variables/variables.data-00000-of-00001", artifacts.convert

    def exported_meanwhile(*given: Any) -> Any:
        conversion = convert(*given)
        data.write_bytes(data.read_bytes()[:-1] + b"\1")
        return conversion

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "convert", exported_meanwhile)
        with pytest.raises(ModelError, match="was changed while it was read; try again"):
            prepare_model(str(folder), "litert")
    data.write_bytes((Path(tiny_module) / data.relative_to(folder)).read_bytes())
    assert prepare_model(str(folder), "litert").digest == digest_of(Path(tiny_module))


def test_a_linked_folder_is_part_of_the_digest(tmp_path: Path, tiny_module: str) -> None:
    """Of a module whose weights lie elsewhere: other weights are another module."""
    module, weights = tmp_path / "module", tmp_path / "weights"
    module.mkdir()
    for path in Path(tiny_module).iterdir():
        (module / path.name).symlink_to(path if path.name != "variables" else weights)
    weights.mkdir()
    for path in Path(tiny_module, "variables").iterdir():
        (weights / path.name).write_bytes(path.read_bytes())
    assert digest_of(module) == digest_of(Path(tiny_module))
    data = weights / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1] + b"\1")
    assert digest_of(module) != digest_of(Path(tiny_module))
    (module / "again").symlink_to(module)
    digest_of(module)  # and ends


def test_a_warm_start_needs_no_tensorflow(tmp_path: Path, images: Path, tiny_module: str, run_pipeline: Run) -> None:
    """A module that was seen before is neither loaded nor looked into, as a folder or out of an archive."""
    handles = [tiny_module, str(tmp_path / "module.tar.gz")]
    with tarfile.open(handles[1], "w:gz") as tar:
        tar.add(tiny_module, arcname=".")
    for handle in handles:
        run_pipeline(input=str(images), model=handle, run_id=f"cold-{handles.index(handle)}")
    code = (
        "import sys, pipeline.cli\n"
        "for handle in sys.argv[3:]:\n"
        "    given = ['--input', sys.argv[1], '--output', sys.argv[2], '--model', handle]\n"
        "    try: pipeline.cli.main(['run', *given])\n"
        "    except SystemExit as e: assert not e.code, e.code\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'tensorflow_hub')))"
    )
    command = [sys.executable, "-c", code, str(images), str(tmp_path / "warm"), *handles]
    warm = subprocess.run(command, capture_output=True, text=True)
    assert warm.returncode == 0, warm.stderr
    manifests = [json.loads(file.read_text()) for file in (tmp_path / "warm").glob("runs/*/run.json")]
    assert sorted(manifest["model"]["handle"] for manifest in manifests) == sorted(handles)
    assert [manifest["counts"]["embedded"] for manifest in manifests] == [12, 12]
