"""The examples of run_configs/schedulers/ that need nothing else: the script of a night, cron, systemd."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.options.arguments import add_arguments
from pipeline.options.config import make_config
from pipeline.options.flex_template import metadata
from pipeline.outputs.dataset import read_manifest, run_ids

pytestmark = pytest.mark.whole

EXAMPLES = Path(__file__).parents[2] / "run_configs" / "schedulers"
SCRIPT = EXAMPLES / "nightly.sh"


def test_a_night_is_one_run_however_often_it_is_called(images: Path, tiny_module: str, tmp_path: Path) -> None:
    output = tmp_path / "features"
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "EMBED_IMAGES_INPUT": str(images),
        "EMBED_IMAGES_OUTPUT": str(output),
    }

    def night(date: str) -> str:
        command = ["/bin/sh", str(SCRIPT), "--model", tiny_module]
        result = subprocess.run(command, env=environment | {"EMBED_IMAGES_NIGHT": date}, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stderr

    night("2026-01-01")
    assert "published already with these options: nothing to do" in night("2026-01-01")
    (images / "00.jpg").unlink()
    night("2026-01-02")
    assert run_ids(str(output)) == ["night-2026-01-01", "night-2026-01-02"]
    counts = read_manifest(str(output / "runs/night-2026-01-02"))["counts"]
    assert (counts["unchanged"], counts["embedded"], counts["deleted"]) == (11, 0, 1)


def test_cron_and_systemd_call_the_script() -> None:
    """With all that it needs."""
    needed = set(re.findall(r'"\$(EMBED_IMAGES_\w+)"', SCRIPT.read_text()))
    assert needed == {"EMBED_IMAGES_INPUT", "EMBED_IMAGES_OUTPUT"}
    called = "/opt/embed-images/run_configs/schedulers/nightly.sh"
    assert SCRIPT.as_posix().endswith(called.removeprefix("/opt/embed-images"))
    assert os.access(SCRIPT, os.X_OK)

    lines = (EXAMPLES / "crontab").read_text().splitlines()
    assert {line.partition("=")[0] for line in lines if re.match(r"\w+=", line)} == {"PATH", *needed}
    (job,) = (line for line in lines if line[:1].isdigit())
    assert re.fullmatch(r"(\d+|\*) (\d+|\*) \* \* \* " + re.escape(called), job)

    service = read_unit("embed-images.service")
    assert service["Service"]["ExecStart"] == [called]
    assert {value.partition("=")[0] for value in service["Service"]["Environment"]} == {"PATH", *needed}
    assert "OnCalendar" in read_unit("embed-images.timer")["Timer"]


def test_cloud_scheduler_launches_with_options_of_a_run() -> None:
    """As the launcher gets them: flags with values."""
    body = json.loads((EXAMPLES / "cloud_scheduler_body.json").read_text())["launchParameter"]
    names = {parameter["name"]: parameter for parameter in metadata()["parameters"]}
    assert body["parameters"].keys() <= names.keys()
    assert {name for name, parameter in names.items() if not parameter["isOptional"]} <= body["parameters"].keys()
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    config = make_config(vars(parser.parse_args([f"--{k}={v}" for k, v in body["parameters"].items()])), [])
    assert (config.incremental, config.no_wait, config.engine) == (True, True, "litert")


def read_unit(name: str) -> dict[str, dict[str, list[str]]]:
    """A systemd unit, the values of each key of its sections."""
    sections: dict[str, dict[str, list[str]]] = {}
    current: dict[str, list[str]] = {}
    for line in (EXAMPLES / name).read_text().splitlines():
        if match := re.fullmatch(r"\[(\w+)\]", line):
            current = sections.setdefault(match[1], {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            current.setdefault(key, []).append(value)
    return sections
