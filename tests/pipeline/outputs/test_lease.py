"""Two that want the same run id, and a holder that has died."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import RunError
from pipeline.outputs import lease as lease_module
from pipeline.outputs.lease import lease
from pipeline.runs.housekeeping import contents_of, prune
from tests.conftest import Run
from transforms.records import layout


def test_a_run_id_has_one_holder(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    output = str(tmp_path / "output")
    with lease(output, "r", "first", here=True):
        with pytest.raises(
            RunError, match=rf"--run_id: 'r' is being worked at by process {os.getpid()} on .* since 20"
        ):
            run_pipeline(input=str(images), run_id="r")
        assert [left.holder for left in contents_of(output).left_behind] == [lease_module.holder_of(output, "r")]
        assert prune(output) == []
    assert list((tmp_path / "output").iterdir()) == []
    assert run_pipeline(input=str(images), run_id="r").manifest["counts"]["embedded"] == 12


@pytest.mark.parametrize(
    ("holder", "alive"),
    [
        ({"here": True, "pid": 2**22 + 1}, False),  # ended on this machine
        ({"here": True, "pid": os.getppid()}, True),
        ({"here": True, "pid": os.getpid()}, False),  # of an earlier life of a container
        ({"here": True, "host": "elsewhere", "age": 299}, True),
        ({"here": True, "host": "elsewhere", "age": 301}, False),
        ({"here": False, "pid": 2**22 + 1, "age": 299}, True),  # its job may live on
        ({"here": False, "pid": os.getppid(), "age": 301}, False),
    ],
)
def test_a_dead_holders_lease_ends(
    holder: dict[str, Any], alive: bool, images: Path, run_pipeline: Run, tmp_path: Path
) -> None:
    now = time.time()
    content = {"attempt": "a", "host": socket.gethostname(), "pid": 1, "since": now, "here": True} | holder
    content["renewed"] = now - content.pop("age", 0)
    path = Path(layout.lease_file(str(tmp_path / "output"), "r", 1))
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    if alive:
        with pytest.raises(RunError, match="is being worked at by"):
            run_pipeline(input=str(images), run_id="r")
    else:
        assert run_pipeline(input=str(images), run_id="r").manifest["counts"]["embedded"] == 12


def test_a_lease_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "RENEWAL_SECONDS", 0.01)
    path = Path(layout.lease_file(str(tmp_path), "r", 1))
    with lease(str(tmp_path), "r", "a", here=True):
        first = json.loads(path.read_text())["renewed"]
        deadline = time.monotonic() + 30
        while json.loads(path.read_text())["renewed"] == first:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not path.exists()
