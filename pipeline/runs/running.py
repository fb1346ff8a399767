"""A pipeline at work, and what became of its run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pipeline.console.logs import logger
from pipeline.errors import RunError
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
        """Over the phase "embed": from the first image selected to the last one written."""
        return self.images / max(self.seconds.get("embed", 0.0), 1e-9)


@contextmanager
def at_work(output: str, run_id: str, attempt: str, *, here: bool) -> Iterator[None]:
    """Cleans up when what it holds fails or is interrupted, and says what became of the run.

    Args:
        here: whether the pipeline works in this process; a job elsewhere goes on without its launcher.
    """
    try:
        yield
    except KeyboardInterrupt:
        if here:
            clean_up(output, run_id, attempt)
        published = storage.exists(storage.join(layout.run_folder(output, run_id), layout.SUCCESS))
        logger.info("interrupted; %s", "the run is published already" if published else "nothing is published")
        raise
    except RunError:
        if here:
            clean_up(output, run_id, attempt)
        check_rival(output, run_id, attempt)
        raise


def execute(pipeline: Any, here: bool, *, wait: bool = True) -> None:
    """Runs a pipeline; a job elsewhere is only submitted, unless `wait`.

    Raises:
        RunError: it failed.
        KeyboardInterrupt: Ctrl-C, wherever it was caught.
    """
    from pipeline.console.progress import progress

    try:
        if here:
            with progress():
                pipeline.run().wait_until_finish()
        elif wait:
            pipeline.run().wait_until_finish()
        else:
            pipeline.run()
    except Exception as e:  # whatever a runner raises: the user gets its last line, --verbose the rest
        if _is_interrupt(e):
            raise KeyboardInterrupt from e
        raise RunError(f"the pipeline failed: {_last_line(e)}") from e


def check_rival(output: str, run_id: str, attempt: str) -> None:
    """Says so when a run failed because another one with its id has published, and taken the staging along."""
    folder = layout.run_folder(output, run_id)
    published = storage.exists(storage.join(folder, layout.SUCCESS))
    if published and documents.read_manifest(folder, run_id)["attempt"] != attempt:
        raise RunError(f"another run with this id was faster: {folder} is its; nothing of it was overwritten")


def clean_up(output: str, run_id: str, attempt: str) -> None:
    """Removes what a run in this process has left, but for finished shards, which the next attempt takes over."""
    if finished := finished_shards(output, run_id, attempt):
        count = f"{len(finished)} finished shard{'s' if len(finished) > 1 else ''}"
        logger.info("%s kept: the same command with --run_id %s goes on from there", count, run_id)
    else:
        removal.remove_staging(output, run_id, attempt)


def outcome(output: str, run_id: str, seconds: dict[str, float], images: int = 0) -> RunReport | None:
    """A run is what was published, whatever a runner says of its job."""
    folder = layout.run_folder(output, run_id)
    if storage.exists(storage.join(folder, layout.SUCCESS)):
        return RunReport(folder, documents.read_manifest(folder, run_id), seconds, images)
    refused = layout.refused_folder(output, run_id)
    if (claim := documents.read_claim(refused)) and "refused" in claim:
        raise RunError(f"nothing is published: {claim['refused']}. The dead letters are in {refused}")
    return None


def _last_line(error: Exception) -> str:
    """What an error says in the end; of gRPC's, whose text ends with a bracket, what its server said."""
    details = getattr(error, "details", None)
    text = str(details() if callable(details) else error).strip().splitlines()
    return text[-1] if text else type(error).__name__


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C was pressed within a DoFn: Beam wraps whatever is raised there."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
