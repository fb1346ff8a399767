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
from pipeline.outputs.lease import HeldError, Hold, holder_of, lease
from pipeline.runs import resuming
from pipeline.runs.housekeeping import contents_of, prune
from tests.conftest import Run
from tests.waiting import wait_until
from transforms.records import layout, leases, removal


def test_a_run_id_has_one_holder(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    output = str(tmp_path / "output")
    with lease(output, "r", "first", here=True):
        with pytest.raises(
            RunError, match=rf"--run_id: 'r' is being worked at by process {os.getpid()} on .* since 20"
        ):
            run_pipeline(input=str(images), run_id="r")
        assert [left.holder for left in contents_of(output).left_behind] == [holder_of(output, "r")]
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
    monkeypatch.setattr(leases, "RENEWAL_SECONDS", 0.01)
    path = Path(layout.lease_file(str(tmp_path), "r", 1))
    with lease(str(tmp_path), "r", "a", here=True):
        first = json.loads(path.read_text())["renewed"]
        wait_until(lambda: json.loads(path.read_text())["renewed"] > first)
    assert not path.exists()


OTHER = "b" * 32


def held_by_a_job(output: Path, age: float = 0.0) -> leases.Lease:
    """A lease of an attempt whose job works elsewhere, with its note in staging."""
    held = leases.Lease(str(output), "r", 1, "a" * 32)
    resuming.note_attempt(str(output), "r", held.attempt, {"identity": {}, "generation": {}})
    job = {"runner": "FlinkRunner", "name": "n", "id": "n_1", "at": "http://flink:8081", "server": "flink:8099"}
    content = {"attempt": held.attempt, "host": "h", "pid": 1, "here": False, "since": time.time(), "job": job}
    Path(held.uri).write_text(json.dumps({**content, "renewed": time.time() - age}))
    return held


def renewed(held: leases.Lease) -> float:
    return float(json.loads(Path(held.uri).read_text())["renewed"])


def test_a_job_renews_its_lease_when_nobody_else_has(tmp_path: Path) -> None:
    held = held_by_a_job(tmp_path, leases.RENEWAL_SECONDS / 4)
    before = renewed(held)
    assert leases.renew(held)
    assert renewed(held) == before
    held = held_by_a_job(tmp_path, leases.RENEWAL_SECONDS)
    assert leases.renew(held)
    assert time.time() - renewed(held) < leases.RENEWAL_SECONDS / 2
    launched = "job n (n_1) of FlinkRunner at http://flink:8081, launched by process 1 on h"
    assert holder_of(str(tmp_path), "r").startswith(launched)


@pytest.mark.parametrize(("hours", "pruned"), [(0.01, False), (23, False), (25, True)])
def test_what_a_silent_job_has_staged_is_pruned_a_day_later(tmp_path: Path, hours: float, pruned: bool) -> None:
    held_by_a_job(tmp_path, hours * 3600)
    (left,) = contents_of(str(tmp_path)).left_behind
    assert left.holder.startswith("job n (n_1)") is not pruned
    assert [each.run_id for each in prune(str(tmp_path))] == ["r"] * pruned
    assert (tmp_path / ".staging").exists() is not pruned


def test_a_lease_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    held = held_by_a_job(tmp_path)
    removal.remove_staging(str(tmp_path), "r")
    assert not leases.renew(held)
    assert not list(tmp_path.iterdir())


def test_a_renewal_that_comes_after_the_end_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = held_by_a_job(tmp_path, leases.RENEWAL_SECONDS)
    write = leases.write

    def late(uri: str, content: dict[str, Any]) -> None:
        removal.remove_staging(str(tmp_path), "r")
        write(uri, content)

    monkeypatch.setattr(leases, "write", late)
    assert not leases.renew(held)
    assert not list(tmp_path.iterdir())


def test_a_job_that_was_barred_holds_no_more_and_its_run_is_free(tmp_path: Path) -> None:
    """Though its lease is still there, and young."""
    held = held_by_a_job(tmp_path)
    assert leases.holds(held)
    Hold(str(tmp_path), "r", 1, json.loads(Path(held.uri).read_text())).bar()
    assert not leases.holds(held)
    assert not leases.renew(held)
    assert holder_of(str(tmp_path), "r") == ""
    with lease(str(tmp_path), "r", OTHER, here=True) as hold:
        assert hold.number == 3


@pytest.mark.parametrize("ended", [True, False])
def test_a_lease_of_a_job_that_has_ended_holds_no_more(tmp_path: Path, ended: bool) -> None:
    held_by_a_job(tmp_path)
    asked: list[str] = []

    def has_ended(job: dict[str, str]) -> bool:
        asked.append(job["id"])
        return ended

    if ended:
        with lease(str(tmp_path), "r", OTHER, here=True, has_ended=has_ended):
            pass
    else:
        waits = f"`embed-images wait {tmp_path} --run_id r` waits for it"
        with (
            pytest.raises(HeldError, match=waits) as refused,
            lease(str(tmp_path), "r", OTHER, here=True, has_ended=has_ended),
        ):
            pass
        assert refused.value.by_job
    assert asked == ["n_1"]


def test_a_lease_that_is_handed_over_stays(tmp_path: Path) -> None:
    with lease(str(tmp_path), "r", "a" * 32, here=False) as hold:
        hold.name_job({"runner": "R", "name": "n", "id": "n", "at": "", "server": ""})
        hold.hand_over()
    assert holder_of(str(tmp_path), "r").startswith("job n of R, launched by process")
