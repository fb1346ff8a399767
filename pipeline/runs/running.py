"""A pipeline at work in this process, and what became of a run wherever it worked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from pipeline.console import typed
from pipeline.console.logs import logger, tell, tell_whole
from pipeline.errors import RefusedRunError, RunError
from pipeline.outputs.failures import failure_lines_if_read
from pipeline.runs.phases import Phases
from pipeline.runs.resuming import finished_shards
from transforms.records import documents, layout, removal
from transforms.stores import storage


@dataclass
class RunReport:
    """What a finished run did.

    Attributes:
        folder: the published run.
        manifest: its run.json.
        seconds: by phase, see `Phases`.
        images: embedded or failed in these seconds.
    """

    folder: str
    manifest: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0

    @property
    def images_per_second(self) -> float:
        """Over the phase "embed", from the first image selected to the last one written; else over "job"."""
        return self.images / max(self.seconds.get("embed", self.seconds.get("job", 0.0)), 1e-9)

    def told(self) -> tuple[str, dict[str, Any]]:
        """A sentence, and the run's figures: what a log ends with."""
        counts = self.manifest["counts"]
        run_id = self.manifest["run_id"]
        figures = {
            "run_id": run_id,
            "folder": self.folder,
            "counts": counts,
            "seconds": {phase: round(seconds, 3) for phase, seconds in self.seconds.items()},
        }
        if self.images:
            figures["images_per_second"] = round(self.images_per_second, 2)
        return f"run {run_id}: {counts['embedded']} embedded, {counts['failed']} failed, in {self.folder}", figures


@contextmanager
def at_work(output: str, run_id: str, attempt: str) -> Iterator[None]:
    """Cleans up when what this process does for a run fails or is interrupted, and says what became of the run."""
    try:
        yield
    except (KeyboardInterrupt, RunError) as e:
        clean_up(output, run_id, attempt)
        if isinstance(e, KeyboardInterrupt):
            tell("interrupted", {"run_id": run_id}, "interrupted; %s", said_of(output, run_id))
            if not is_published(output, run_id):
                if not finished_shards(output, run_id):
                    logger.info("no image was finished yet: the same command begins with the first")
                say_how_to_go_on(run_id)
        else:
            check_rival(output, run_id, attempt)
        raise


def say_how_to_go_on(run_id: str) -> None:
    """The command to type, where a command was typed."""
    if command := typed.command_with(run_id):
        tell_whole("to go on:", command)


def execute(pipeline: Any) -> Counter[str]:
    """Runs a pipeline that works in this process or its children.

    Returns:
        the counters of `transforms.tally` over all of them, as the runner has summed them at its end.

    Raises:
        RunError: it failed.
        Stopped: Ctrl-C or SIGTERM, wherever it was caught.
    """
    from pipeline.options.beam import runs_here
    from pipeline.runs.stopping import stoppable
    from transforms.collecting import frozen
    from transforms.records.spilling import spilling

    try:
        with stoppable(), frozen(), spilling() if runs_here(pipeline.options) else nullcontext():
            result = pipeline.run()
            result.wait_until_finish()
    except Exception as e:  # whatever a runner raises: the user gets its last line, --verbose the rest
        raise RunError(f"the pipeline failed: {_last_line(e)}") from e
    from pipeline.jobs.job import sums_of

    return sums_of(result.metrics())


def said_of(output: str, run_id: str) -> str:
    """Whether a run is published, for the end of a sentence."""
    return "the run is published already" if is_published(output, run_id) else "nothing is published"


def is_published(output: str, run_id: str) -> bool:
    """Whether a run is complete, for all to see."""
    return storage.exists(storage.join(layout.run_folder(output, run_id), layout.SUCCESS))


def check_rival(output: str, run_id: str, attempt: str) -> None:
    """Says so when a run failed because another one with its id has published, and taken the staging along."""
    folder = layout.run_folder(output, run_id)
    if is_published(output, run_id) and documents.read_manifest(folder, run_id)["attempt"] != attempt:
        raise RunError(f"another run with this id was faster: {folder} is its; nothing of it was overwritten")


def clean_up(output: str, run_id: str, attempt: str) -> int:
    """Removes what a run that has ended has left, but for finished shards, which the next attempt takes over.

    Returns:
        how many these are.
    """
    finished = finished_shards(output, run_id, attempt)
    removal.remove_staging(output, run_id, attempt, unfinished=bool(finished))
    if finished:
        count = f"{len(finished)} finished shard{'s' if len(finished) > 1 else ''}"
        logger.info("%s kept: the same command with --run_id %s goes on from there", count, run_id)
    return len(finished)


def report_of(output: str, run_id: str, phases: Phases) -> RunReport:
    """Of a run whose runner says that it is done: it is what was published, whatever a runner says.

    Raises:
        RunError: nothing was.
    """
    if (report := outcome(output, run_id)) is None:
        raise RunError("the runner says that the job is done, and nothing is published; its logs tell more")
    report.seconds, report.images = phases.seconds, phases.images
    return report


def outcome(output: str, run_id: str) -> RunReport | None:
    """What was published of a run; None when nothing is, and nothing was refused.

    Raises:
        RunError: it was refused, and why.
    """
    folder = layout.run_folder(output, run_id)
    if is_published(output, run_id):
        return RunReport(folder, documents.read_manifest(folder, run_id))
    refused = layout.refused_folder(output, run_id)
    if (claim := documents.read_claim(refused)) and "refused" in claim:
        for line in failure_lines_if_read(refused, claim):
            logger.warning(line)
        text = f"nothing is published: {claim['refused']}. The dead letters are in {refused}"
        raise RefusedRunError(text, [*claim["counts"]["failed_by_error"]])
    return None


def _last_line(error: BaseException) -> str:
    """What an error says in the end."""
    text = str(error).strip().splitlines()
    return text[-1] if text else type(error).__name__
