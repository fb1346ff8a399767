"""A corpus in all its forms in a store: what comes of it through faults is what comes of the local one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.conftest import Server
from tests.integration.stores.faults import FAULTS, fault_proxy, now_and_then
from tests.integration.stores.versions import small_pieces
from tests.pipeline.runs.corpora import FOLDER, OPTIONS, make_corpus
from tests.pipeline.runs.forms import corpus as photos_of
from transforms.stores import fetching, filesystems, storage

# A flipped bit is not seen, since parts of objects have no checksums; a stall costs a second each.
OF_PARTS = tuple(fault for fault in FAULTS if fault not in ("flipped", "stall"))
PIECE = 4096  # bytes, so that a container of some 40 KB is read by a dozen requests
LEAST_FAULTS = 10


def is_data(path: str) -> bool:
    """Whether a request asks for bytes of an object: what a store tells of one has no known length."""
    return "/download/" in path or not path.startswith("/storage/")


def check_corpus(server: Server, folder: Path, module: str, run_pipeline: Run, patch: pytest.MonkeyPatch) -> None:
    """A fifth of the reads meet a fault; and the next night, on which nothing is opened, says that all is as it was."""
    patch.setattr(fetching, "FIRST_WAIT_SECONDS", 0.01)
    patch.setattr(fetching, "LONGEST_WAIT_SECONDS", 0.05)
    patch.setattr(filesystems, "_instances", {})  # whose clients have waits of their own
    small_pieces(patch, PIECE)
    corpus = make_corpus(folder, module, photos_of())
    filesystems.configure(server.options)
    for path in corpus.root.rglob("*.*"):
        if path.is_file():
            storage.write_bytes(server.uri(f"{FOLDER}/{path.relative_to(corpus.root)}"), path.read_bytes())
    inputs = [server.uri(f"{FOLDER}/{Path(path).relative_to(corpus.root)}") for path in corpus.inputs]
    drawn = now_and_then(0.2, OF_PARTS)

    def decide(path: str) -> str:
        fault = drawn(path)
        return fault if fault != "short" or is_data(path) else "503"

    with fault_proxy(server.port, decide) as proxy:
        options = {**OPTIONS, "storage_options": server.through(proxy.port), "fetch_retries": 10, "incremental": True}
        report = run_pipeline(input=inputs, run_id="faults", **options)
        assert sum(times for fault, times in proxy.met.items() if fault) > LEAST_FAULTS
        again = run_pipeline(input=inputs, run_id="again", **options)
    corpus.check(report)
    counts = {name: count for name, count in again.manifest["counts"].items() if count}
    assert counts == {
        "listed": report.manifest["counts"]["listed"],
        "unchanged": report.manifest["counts"]["embedded"],
        "failed_before": report.manifest["counts"]["failed"],
    }
