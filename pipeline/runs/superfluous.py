"""embed-images runs --prune_compacted: removes the runs whose newest vectors a compaction holds.

In steps, each of which leaves an output that can be read, and after each of which the same command goes on: what is
proven loses its mark, the oldest run first, so that what says that an image is gone outlives the image's record; then,
when nobody is at work who may have known it with its mark, its files go.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pipeline.errors import RunError
from pipeline.outputs.compactions import Forgotten, forgotten, superfluous
from pipeline.outputs.history import PublishedRun, published_runs
from pipeline.outputs.verify import verify_run
from pipeline.runs.housekeeping import half_removed_in, left_behind_in
from transforms.records import layout, removal
from transforms.stores import storage


@dataclass(frozen=True)
class Removed:
    """A run that was removed.

    Attributes:
        held_by: the compaction with its newest vectors; "" where an earlier command had begun to remove it.
    """

    run_id: str
    bytes: int
    held_by: str = ""


def prune_compacted(output: str) -> tuple[list[Removed], Forgotten]:
    """Removes superfluous runs; gives them, the oldest first, and what is not known any more without them.

    Raises:
        RunError: somebody is at work in the output, or a compaction does not hold.
        OutputError: a run cannot be read.
    """
    output = storage.normalize(output)
    _check_idle(output, "nothing was removed")
    runs = published_runs(output, all_of_them=True)
    begun = [Removed(run_id, _size(output, run_id)) for run_id in half_removed_in(output, runs)]
    proven: dict[str, str] = {}
    lost = Forgotten()
    for _, group in groupby(sorted(runs, key=_generation), _generation):
        comparable = sorted(group, key=runs.index)
        found = superfluous(comparable)
        if found:
            proven |= found
            lost = Forgotten(*map(sum, zip(lost, forgotten(comparable, found), strict=True)))
    _check_compactions(output, sorted(set(proven.values())))
    # No link is followed, and what a run has not claimed is none of ours.
    proven = {run_id: by for run_id, by in proven.items() if removal.is_claimed(output, layout.RUNS, run_id)}
    removed = [
        Removed(run.run_id, _size(output, run.run_id), proven[run.run_id]) for run in runs if run.run_id in proven
    ]
    for run in removed:
        removal.unpublish(output, run.run_id)
    _check_idle(output, f"{len(removed)} runs have lost their {layout.SUCCESS} already, their files are still there")
    for run in [*begun, *removed]:
        removal.remove_unpublished(output, run.run_id)
    return [*begun, *removed], lost


def _check_idle(output: str, state: str) -> None:
    """Refuses while a run or a compaction is at work: it may be reading what it found when it started."""
    if busy := [left for left in left_behind_in(output) if left.holder]:
        raise RunError(
            f"{output}: {busy[0].run_id} is being worked at by {busy[0].holder}, and may read the runs that it found; "
            f"{state}. Give the same command when it has ended"
        )


def _check_compactions(output: str, run_ids: Sequence[str]) -> None:
    """Refuses when what would be the only copy does not hold: every byte of it is read."""
    for run_id in run_ids:
        if problems := verify_run(output, run_id).problems:
            raise RunError(
                f"{output}: the compaction {run_id} does not hold ({problems[0].file}: {problems[0].message}); nothing "
                f"was removed. `embed-images verify` tells more"
            )


def _generation(run: PublishedRun) -> str:
    return repr(sorted(run.generation.items()))


def _size(output: str, run_id: str) -> int:
    return sum(removal.sizes_in(output, layout.RUNS, run_id).values())
