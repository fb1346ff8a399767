"""Beam, without what the local runner does not use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "boto3",
    "azure.storage.blob",
    "google.cloud.storage",
    "google.cloud.bigquery",
    "google.cloud.dataflow",
    "apitools",
    "pymongo",
    "pandas",
}
INSTALLED = """
from importlib.util import find_spec
assert find_spec("pandas") and find_spec("google.cloud.storage") and find_spec("google.cloud.dataflow")
"""


def said_by(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_left_out_can_be_imported_afterwards() -> None:
    code = f"""{INSTALLED}
import sys
from pipeline.options import lean
lean.begin()
import apache_beam
print(sorted({HEAVY} & sys.modules.keys()))
import apache_beam.io.gcp.gcsfilesystem
from apache_beam.io.filesystems import FileSystems
print(type(FileSystems.get_filesystem("gs://bucket/name")).__name__)
lean.end()
import pandas
"""
    assert said_by(code) == "[]\nGCSFileSystem\n"


@pytest.mark.parametrize(
    ("beam_args", "is_lean"),
    [
        ([], True),
        (["--direct_num_workers=2"], True),
        (["--runner=DirectRunner"], True),
        (["--runner", "FnApiRunner"], True),
        (["--runner=PrismRunner"], False),
        (["--runner", "DataflowRunner"], False),
    ],
)
def test_other_runners_get_all_of_beam(beam_args: list[str], is_lean: bool) -> None:
    code = """
import sys
from pipeline.options import lean
lean.begin()
lean.settle(sys.argv[1:])
import apache_beam
print("google.cloud.dataflow" not in sys.modules)
"""
    assert said_by(code, *beam_args) == f"{is_lean}\n"


def test_a_run_of_the_command_line_is_lean_and_a_program_that_runs_one_is_not(
    images: Path, tmp_path: Path, tiny_module: str
) -> None:
    given = ["run", f"--input={images}", f"--output={tmp_path}/output", f"--model={tiny_module}", "--engine=litert"]
    command = f"""
import atexit, sys
from pipeline.cli import main
atexit.register(lambda: print(sorted({HEAVY} & sys.modules.keys())))
main()
"""
    assert said_by(command, *given).endswith("[]\n")
    program = """
import sys
from pipeline import make_config, run
run(make_config(dict(zip(["input", "output", "model"], sys.argv[1:])), []))
print("pandas" in sys.modules)
"""
    assert said_by(program, str(images), f"{tmp_path}/other", tiny_module).endswith("True\n")
