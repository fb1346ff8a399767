"""What workers get: the sdist that Beam makes of --setup_file, and the Flex Template's metadata."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import yaml

from pipeline.options.flex_template import metadata
from pipeline.options.table import OPTIONS, PIPELINE_OPTIONS

ROOT = Path(__file__).parents[2]
DATAFLOW = ROOT / "run_configs" / "dataflow"


def test_the_template_has_the_options_of_a_run() -> None:
    """`make template-metadata` writes it."""
    assert json.loads((DATAFLOW / "metadata.json").read_text()) == metadata()


def test_setup_file_gives_workers_all_of_the_package(tmp_path: Path) -> None:
    """As Beam's stager builds it: an sdist, installed without its dependencies, imported away from the checkout."""
    (tmp_path / "copy").mkdir()
    for name in ("setup.py", "README.md", "pyproject.toml", "MANIFEST.in"):
        if (ROOT / name).exists():
            (tmp_path / "copy" / name).write_bytes((ROOT / name).read_bytes())
    for package in ("pipeline", "transforms"):
        for path in (ROOT / package).rglob("*"):
            if path.suffix in (".py", ".pyi", ".typed", ".html", ".css", ".js"):
                target = tmp_path / "copy" / path.relative_to(ROOT)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(path.read_bytes())
    subprocess.run(
        [sys.executable, "setup.py", "sdist", "--dist-dir", str(tmp_path / "dist")],
        cwd=tmp_path / "copy", check=True, capture_output=True,
    )  # fmt: skip
    (sdist,) = (tmp_path / "dist").iterdir()
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        str(path.relative_to(ROOT))
        for package in ("pipeline", "transforms")
        for path in (ROOT / package).rglob("*.*")
        if path.suffix in (".py", ".pyi", ".html", ".css", ".js")
    }
    assert wanted <= packed
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), str(sdist)], check=True, capture_output=True)
    code = "import pipeline; from pipeline import run; from transforms import load_engine; print(pipeline.__file__)"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site")},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert found.stdout.strip().startswith(str(tmp_path / "site"))


def test_run_configs_have_known_options_only() -> None:
    names = {option.name for option in OPTIONS} | {PIPELINE_OPTIONS}
    for path in (ROOT / "run_configs").glob("*.yaml"):
        assert set(yaml.safe_load(path.read_text())) <= names, path
