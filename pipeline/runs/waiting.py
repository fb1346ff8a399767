"""embed-images wait: until a run that works elsewhere has ended, as its output tells."""

from __future__ import annotations

import time

from pipeline.console.progress import progress
from pipeline.console.sight import Sight
from pipeline.errors import RunError
from pipeline.outputs.lease import is_alive, last_lease, who
from pipeline.runs.resuming import finished_shards
from pipeline.runs.running import RunReport, is_published, outcome
from pipeline.runs.staged import Staged
from transforms.stores import storage

LOOK_SECONDS = 5.0


def wait_until_ended(output: str, run_id: str) -> RunReport:
    """Waits until a run is published, and shows how it gets on.

    Raises:
        RunError: it was refused, or nobody works at it.
        OutputError: what lies in the output is not what runs write.
    """
    output, said, began = storage.normalize(output), "", time.monotonic()
    staged = Staged(output, run_id)
    with progress(lambda: Sight("wait", time.monotonic() - began, said=said)):
        while not is_published(output, run_id):
            _, holder = last_lease(output, run_id)
            if holder is None or not is_alive(holder):
                break
            said = f"run {run_id}: {who(holder)}, {staged.text()}"
            time.sleep(LOOK_SECONDS)
    if (report := outcome(output, run_id)) is not None:
        return report
    kept = len(finished_shards(output, run_id))
    goes_on = f"; {kept} finished shards are kept, from which the command that launched it goes on" if kept else ""
    raise RunError(f"--run_id: {run_id!r} is not published in {output}, and nobody works at it{goes_on}")
