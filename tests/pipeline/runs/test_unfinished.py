"""Which run the same command goes on with, when it is given no run id."""

from __future__ import annotations

import uuid
from pathlib import Path

from pipeline.options.config import RunConfig, make_config
from pipeline.outputs.lease import lease
from pipeline.runs.resuming import note_attempt
from pipeline.runs.unfinished import going_on

IDS = [f"2026112{day}T000000.000000Z" for day in range(1, 5)]


def config_of(output: Path, **options: object) -> RunConfig:
    return make_config({"input": ["photos"], "output": str(output), **options}, [])


def leave(output: Path, run_id: str, **options: object) -> None:
    """What an attempt has left that was killed after its note."""
    making = {"identity": config_of(output, run_id=run_id, **options).identity(), "generation": {}}
    note_attempt(str(output), run_id, uuid.uuid4().hex, making)


def test_the_newest_one_of_the_same_options_is_gone_on_with(tmp_path: Path) -> None:
    new = config_of(tmp_path)
    assert going_on(new) == new
    leave(tmp_path, IDS[0])
    leave(tmp_path, IDS[2])
    leave(tmp_path, IDS[1])
    leave(tmp_path, IDS[3], resize="fit_crop")
    leave(tmp_path, "night-1")
    assert going_on(config_of(tmp_path)).run_id == IDS[2]
    assert going_on(config_of(tmp_path, resize="fit_crop")).run_id == IDS[3]
    assert going_on(config_of(tmp_path, resize="slim_eval", run_id=IDS[2])).run_id == IDS[2]
    other = config_of(tmp_path, resize="slim_eval")
    assert going_on(other) == other


def test_an_id_that_is_given_is_taken(tmp_path: Path) -> None:
    leave(tmp_path, IDS[0])
    given = config_of(tmp_path, run_id=IDS[1])
    assert going_on(given) == given


def test_options_that_change_nothing_of_what_is_made_may_differ(tmp_path: Path) -> None:
    leave(tmp_path, IDS[0], shard_seconds=5)
    assert going_on(config_of(tmp_path, shard_seconds=60, threads=1)).run_id == IDS[0]


def test_one_that_another_process_works_at_is_left_to_it(tmp_path: Path) -> None:
    leave(tmp_path, IDS[0])
    new = config_of(tmp_path)
    with lease(str(tmp_path), IDS[0], uuid.uuid4().hex, here=True) as hold:
        assert going_on(new) == new
        # A job elsewhere is waited for: `run` does.
        hold.name_job({"runner": "FlinkRunner", "name": "j", "id": "1", "at": ""})
        assert going_on(new).run_id == IDS[0]
    assert going_on(new).run_id == IDS[0]


def test_a_note_that_no_run_has_written_is_not_believed(tmp_path: Path) -> None:
    note = tmp_path / ".staging" / IDS[0] / uuid.uuid4().hex / "attempt.json"
    note.parent.mkdir(parents=True)
    note.write_text('{"identity": 5}')
    new = config_of(tmp_path)
    assert going_on(new) == new
