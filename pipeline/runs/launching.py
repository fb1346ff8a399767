"""What is looked at before a run is started: its output, its inputs, and whether it is published already."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from pipeline.console.logs import logger
from pipeline.errors import ConfigError, ModelError, RunError
from pipeline.options.config import RunConfig
from pipeline.options.reaching import store_sentences
from pipeline.outputs.dataset import run_ids
from pipeline.runs.running import RunReport
from transforms.elements import ImageObject, Refusal
from transforms.inputs import kinds
from transforms.inputs.carrying import known_columns
from transforms.inputs.choosing import EXCLUDED, NOT_SAMPLED
from transforms.inputs.containers.member import STAGE, Asked
from transforms.inputs.containers.naming import kind_of
from transforms.inputs.containers.reading import read_container
from transforms.inputs.inputs import kinds_of_columns, list_input, relative_from
from transforms.inputs.leaving_out import kind_left_out
from transforms.inputs.rules import ListingError, Rules
from transforms.records import documents, layout, removal
from transforms.records.columns import Column
from transforms.records.output_error import OutputError
from transforms.stores import filesystems, storage
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait
from transforms.stores.store_errors import describe_error

PROBED_IMAGES = 3
PROBE_SECONDS = 60.0  # for one of them, however its server lets it trickle
SCRATCH_BYTES = 4096
ENDPOINT_SECONDS = 10.0
PATIENCE_SECONDS = 5.0


@contextmanager
def launching() -> Iterator[None]:
    """Turns what may go wrong before a pipeline runs into a sentence."""
    try:
        with store_sentences():
            yield
    except (RunError, ListingError, ConfigError, ModelError, OutputError):
        raise
    except Exception as e:  # of files, packages and stores, which have error classes of their own
        raise RunError(f"the run cannot start: {describe_error(e)}") from e


@contextmanager
def patiently(uris: Sequence[str]) -> Iterator[None]:
    """Says that stores are waited for when that takes long: their clients try again, without a word."""
    stores = sorted({f"{filesystems.scheme_of(uri)}://" for uri in uris if not filesystems.is_local(uri)})
    said = "still waiting for %s after %.0f s; without a network or credentials, that ends with a sentence"
    waiting = threading.Timer(PATIENCE_SECONDS, logger.info, (said, " or ".join(stores), PATIENCE_SECONDS))
    waiting.daemon = True
    if stores:
        waiting.start()
    try:
        yield
    finally:
        waiting.cancel()


def published(output: str, run_id: str, identity: Mapping[str, Any]) -> RunReport | None:
    """The report of a run that is published already with these options; None when it is not published.

    Raises:
        RunError: it is published with others.
    """
    folder = layout.run_folder(output, run_id)
    if not storage.exists(storage.join(folder, layout.SUCCESS)):
        return None
    manifest = documents.read_manifest(folder, run_id)
    its = manifest["identity"]
    if identity != its:
        differing = sorted(name for name in identity if identity[name] != its.get(name))
        raise RunError(
            f"--run_id: {run_id!r} is published in {output} already, with another "
            f"{', '.join(differing)}; give another one"
        )
    logger.info("run %s is published already with these options: nothing to do", run_id)
    return RunReport(folder, manifest)


def check_output(output: str, run_id: str) -> None:
    """Refuses an output that cannot be written, or that lies in another one, and folders that hold what is not ours.

    What a refused run of that id has left is removed.
    """
    if filesystems.is_local(output):
        existing = layout.run_folder(output, run_id)
        while not os.path.lexists(existing):
            existing = os.path.dirname(existing)
        if not os.path.isdir(existing) or not os.access(existing, os.W_OK | os.X_OK):
            raise RunError(f"--output: {existing} is no folder that can be written to")
    if around := enclosing_output(output):
        raise RunError(f"--output: {output} lies in a folder of another output, {around}; give one that does not")
    for place in layout.PLACES:
        if link := removal.link_to(output, place, run_id):
            raise RunError(
                f"--output: {link} is a link, behind which nothing is moved or removed; the output itself may be one"
            )
    if foreign := removal.foreign_names(output, run_id):
        more = f" and {len(foreign) - 1:,} more" if len(foreign) > 1 else ""
        raise RunError(f"--run_id: {output} holds {foreign[0]!r}{more}, which no run has written; give another one")
    removal.remove_refused(output, run_id)


def check_scratch() -> None:
    """Refuses a folder for temporary files that cannot be written to."""
    try:
        with tempfile.TemporaryFile() as file:
            file.write(bytes(SCRATCH_BYTES))
            file.flush()
    except OSError as e:
        folder = os.environ.get("TMPDIR") or "of the system (TMPDIR is not set)"
        raise RunError(f"the folder for temporary files, {folder}, cannot be written to: {e.strerror or e}") from None


def check_endpoint(endpoint: str) -> None:
    """Refuses a job server that does not answer; Beam would wait for it for minutes, without a word.

    Args:
        endpoint: HOST:PORT; "" where there is none.
    """
    host, _, port = endpoint.rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), ENDPOINT_SECONDS).close()
    except (OSError, OverflowError) as e:
        raise RunError(f"--job_endpoint: nothing answers at {endpoint} ({describe_error(e)}); is it running?") from None


def enclosing_output(output: str) -> str:
    """The output in one of whose folders another one lies; empty when there is none."""
    steps = output.split("/")
    above = ("/".join(steps[:number]) for number, step in enumerate(steps) if step in layout.PLACES)
    return next((folder for folder in above if folder and run_ids(folder)), "")


def check_inputs(inputs: Sequence[str], rules: Rules, output: str, max_object_bytes: int) -> None:
    """Refuses inputs that hold nothing, and ones whose first images may all not be read."""
    for text in inputs:
        left_out: Counter[str] = Counter()

        def skipped(_: str, kind: str, counts: Counter[str] = left_out) -> None:
            kinds.count(counts, kind)

        listed = list_input(text, rules, skipped)
        own = partial(layout.is_own, output)
        first = list(islice((image for image in listed if not own(image.uri)), PROBED_IMAGES))
        if not first:
            raise ListingError(f"--input: {text!r} holds no image{_hint(left_out)}")
        if all(filesystems.is_local(image.uri) and not storage.exists(image.uri) for image in first):
            logger.warning("%s: of its first %d images none is there%s", text, len(first), relative_hint([text], rules))
        if kind_of(first[0].uri):
            _check_container(first[0], rules)
        elif not filesystems.is_local(first[0].uri) and (denied := _denied(first, max_object_bytes)):
            raise RunError(
                f"--input: the store lets none of the first {len(first)} images of {text!r} be read ({denied}); "
                f"give credentials that may, see docs/operations.md"
            )


def relative_hint(inputs: Sequence[str], rules: Rules) -> str:
    """Where the relative paths of manifests start from, as the end of a sentence; "" where there are none."""
    folders = {text: folder for text in inputs if (folder := relative_from(text, rules))}
    return "".join(f"; relative paths in {text} start from its folder, {folder}" for text, folder in folders.items())


def _check_container(container: ImageObject, rules: Rules) -> None:
    """Refuses an input whose first container gives nothing at all, or may not be read."""
    asked = Asked(image_column=rules.image_column, takes=partial(kind_left_out, all_files=rules.all_files))
    first = next(read_container(container, asked, Policy(1), lambda *_: ""), None)
    refusal = first.content if first is not None and first.uri == container.uri else None
    if isinstance(refusal, Refusal) and (refusal.stage == STAGE or refusal.error == "PermissionDenied"):
        raise RunError(f"--input: {container.uri}: {refusal.message}")


def find_columns(config: RunConfig) -> list[Column]:
    """The columns that a run carries, and their kinds, by the first rows of its inputs; "" where these hold nothing.

    Raises:
        ListingError: a column that no input has, or of which they differ.
    """
    asked = config.columns_asked()
    names = [column.name for column in asked]
    found = [kinds_of_columns(text, config.rules, names) for text in config.input] if asked else []
    return known_columns(asked, found, config.rules)


def _hint(left_out: Counter[str]) -> str:
    """What was left out of an input that holds no image, as the end of a sentence."""
    containers = sum(left_out.pop(kind) for kind in [*left_out] if kind_of(f"of{kind}"))
    options = [
        (containers, "are containers of images (name them, or give a glob such as *.tar)"),
        (left_out.pop(EXCLUDED, 0), "images are left out by --exclude"),
        (left_out.pop(NOT_SAMPLED, 0), "images are not in the --sample"),
        (left_out.pop(kinds.NOT_CURRENT, 0), "rows are of no current version of an object"),
        (left_out.total(), "files have no extension of an image (--all_files takes any)"),
    ]
    return "".join(f"; {count:,} {words}" for count, words in options if count)


def _denied(images: list[ImageObject], max_bytes: int) -> str:
    """Why none of the images may be read; empty when one may, or fails for another reason."""
    reason = ""
    for image in images:
        if image.size > max_bytes:
            return ""
        try:
            fetch_and_wait(image, Policy(1, whole_seconds=PROBE_SECONDS, max_bytes=max_bytes))
        except FetchError as e:
            if e.error != "PermissionDenied":
                return ""
            reason = str(e)
        else:
            return ""
    return reason
