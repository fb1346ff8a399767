"""The same command again: of a run that was given no id, the unfinished one of the same options is gone on with."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from pipeline.console.logs import logger
from pipeline.options.config import DEFAULT_RUN_ID, RunConfig
from pipeline.options.reaching import check_stores
from pipeline.outputs.lease import is_alive, last_lease
from pipeline.runs.launching import launching, patiently
from pipeline.runs.resuming import noted
from transforms.records import layout
from transforms.stores import filesystems, folders, storage


def going_on(config: RunConfig) -> RunConfig:
    """The options, with the id of the newest unfinished run of the same options where none is given.

    A run that another process is at work at is left to it, unless it is a job elsewhere, which can be waited for.

    Raises:
        RunError: the output cannot be looked at.
    """
    if config.run_id_given:
        return config
    with launching():
        filesystems.configure(config.storage_options)
        with patiently([config.output]):
            check_stores([config.output])
            run_id = _unfinished(config)
    if not run_id:
        return config
    logger.info("run %s of the same options is not finished: going on with it", run_id)
    return replace(config, run_id=run_id)


def _unfinished(config: RunConfig) -> str:
    """The newest run that nobody has finished, "" where there is none."""
    wanted = {**config.identity(), "run_id": ""}
    for run_id, _ in reversed(folders.entries(storage.join(config.output, layout.STAGING))):
        if not re.fullmatch(DEFAULT_RUN_ID, run_id) or wanted not in _identities(config.output, run_id):
            continue
        holder = last_lease(config.output, run_id)[1]
        if holder is None or "job" in holder or not is_alive(holder):
            return run_id
    return ""


def _identities(output: str, run_id: str) -> list[dict[str, Any]]:
    """What the attempts at a run make or have made, but for its id."""
    attempts = (name for name, _ in folders.entries(layout.staging_folder(output, run_id)))
    notes = [noted(output, run_id, attempt) for attempt in attempts if re.fullmatch(layout.ATTEMPT, attempt)]
    return [{**note["identity"], "run_id": ""} for note in notes if note]
