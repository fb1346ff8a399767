"""What users may import: named in docs, loaded when it is used, and enough for a pipeline of their own."""

from __future__ import annotations

import dataclasses
import re
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import pipeline
import transforms
from pipeline.options.table import BY_NAME
from tests.conftest import photo
from transforms import LoadImages

ROOT = Path(__file__).parents[1]
LIBRARY = (ROOT / "docs" / "library.md").read_text()


@pytest.mark.parametrize("package", [pipeline, transforms])
def test_docs_name_what_may_be_imported_and_nothing_else(package: ModuleType) -> None:
    name = package.__name__
    (section,) = re.findall(rf"^## `{name}`.*?(?=^## |\Z)", LIBRARY, re.MULTILINE | re.DOTALL)
    first_cells = "".join(line.split("|")[1] for line in section.splitlines() if line.startswith("|"))
    assert sorted(re.findall(r"`(\w+)`", first_cells)) == sorted(package.__all__)
    assert all(hasattr(package, each) for each in package.__all__)


def test_help_imports_neither_beam_nor_tensorflow() -> None:
    code = """
import sys
from pipeline.cli import main
try:
    main(["run", "--help"])
except SystemExit:
    print(sorted({"apache_beam", "tensorflow", "tfx_bsl"} & sys.modules.keys()))
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.endswith("[]\n")


@pytest.mark.parametrize(
    ("stage", "foreign"),
    [
        ("publishing", {"PIL", "pydantic", "tfx_bsl", "tensorflow", "transforms.inputs.inputs"}),
        ("writing", {"PIL", "pydantic", "tfx_bsl", "tensorflow"}),
        ("listing", {"pydantic", "tfx_bsl", "tensorflow", "transforms.images.decoding"}),
        ("selecting", {"pydantic", "tfx_bsl", "tensorflow", "transforms.images.decoding"}),
    ],
)
def test_a_worker_of_a_stage_loads_nothing_of_others(stage: str, foreign: set[str]) -> None:
    """Clusters start workers anew between stages."""
    code = f"import sys, transforms.{stage}; print(sorted({foreign!r} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_defaults_of_a_stage_are_those_of_a_run() -> None:
    fields = {field.name: field.default for field in dataclasses.fields(LoadImages) if field.name in BY_NAME}
    del fields["input_size"]  # which has none
    simple = {name: value for name, value in fields.items() if name != "storage_options"}
    assert simple == {name: BY_NAME[name].default for name in simple}
    assert {"resize", "max_image_pixels", "max_object_bytes"} <= simple.keys()


def test_the_example_gives_a_vector_or_a_dead_letter_for_each_image(
    tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    example, *_ = re.findall(r"```python\n(.*?)```", LIBRARY, re.DOTALL)
    (tmp_path / "photos").mkdir()
    photo(60, 40).save(tmp_path / "photos" / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "example.py").write_text(example.replace("builtin:mobilenet_v2_130_224", tiny_module))
    runpy.run_path("example.py")
    shown = capfd.readouterr().out
    assert re.search(r"^\('photos/cat.jpg', array\(\[", shown, re.MULTILINE)
    assert re.search(r"^DeadLetter\(source=ImageObject\(uri='photos/dog.jpg'.*'NotFound'", shown, re.MULTILINE)


def test_the_lines_of_the_readme_read_vectors_of_any_width(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines, *_ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "features").symlink_to(two_nights / "output")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.py").write_text(lines)
    runpy.run_path("lines.py")
    shown = [line.partition(" ")[0] for line in capfd.readouterr().out.splitlines()]
    assert len(shown) == 3
    assert set(shown) < {str(path) for path in (two_nights / "images").iterdir()}


def test_a_run_that_is_refused_has_not_loaded_beam(tmp_path: Path) -> None:
    """Of its inputs that are not there, it says so in a fraction of the second and more that Beam takes."""
    code = """if True:
        import sys
        from pipeline.cli import _main
        assert _main(sys.argv[1:]) == 1
        print(sorted({"apache_beam", "tensorflow"} & sys.modules.keys()))
    """
    refused = ["run", "--input", f"{tmp_path}/none", "--output", f"{tmp_path}/output", "--model=none"]
    done = subprocess.run([sys.executable, "-c", code, *refused], capture_output=True, text=True, check=True)
    assert "no such file or folder" in done.stderr
    assert done.stdout == "[]\n"
