"""Fetching through faults: what arrives is whole, or its dead letter says what happened and how often."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.model.sampling import PROBES
from pipeline.outputs.verify import verify_output
from tests.conftest import Run, photo
from tests.integration.conftest import Server
from tests.integration.stores.faults import FAULTS, FaultProxy, fault_proxy, first_times, now_and_then
from tests.reading import run_vectors
from transforms.elements import ImageObject
from transforms.stores import fetching, filesystems, storage
from transforms.stores.fetching import Fetched, FetchError, Policy, fetch_and_wait

pytestmark = pytest.mark.stores

DATA = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of milliseconds, and stalls that are given up after one second."""
    monkeypatch.setattr(fetching, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(fetching, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(filesystems, "READ_SECONDS", 1)
    monkeypatch.setattr(filesystems, "_instances", {})  # which were made with another one


def put(server: Server, name: str = "images/one.jpg", data: bytes = DATA) -> ImageObject:
    filesystems.configure(server.options)
    storage.write_bytes(server.uri(name), data)
    return storage.describe(server.uri(name))


def fetch_through(
    server: Server, source: ImageObject, decide: Callable[[str], str], retries: int = 3
) -> tuple[Fetched, FaultProxy]:
    with fault_proxy(server.port, decide) as proxy:
        filesystems.configure(server.through(proxy.port))
        return fetch_and_wait(source, Policy(retries)), proxy


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_survived(server: Server, fault: str) -> None:
    fetched, proxy = fetch_through(server, put(server), first_times(2, fault))
    assert fetched.data == DATA
    assert proxy.met == {fault: 2, "": 1}
    # aiohttp itself asks once more when a connection that it had kept open breaks.
    assert fetched.retries == 2 or (fault == "reset" and fetched.retries == 1)


@pytest.mark.parametrize(
    ("fault", "error"), [("503", "FetchFailed"), ("reset", "FetchFailed"), ("short", "DamagedBody")]
)
def test_lasting_faults_end_after_the_tries(server: Server, fault: str, error: str) -> None:
    source = put(server)
    with fault_proxy(server.port, lambda path: fault) as proxy:
        filesystems.configure(server.through(proxy.port))
        with pytest.raises(FetchError, match=r"\(after 4 tries\)") as failed:
            fetch_and_wait(source, Policy(retries=3))
    assert failed.value.error == error
    assert proxy.met[fault] == 4 or (fault == "reset" and proxy.met[fault] <= 8)
    assert set(proxy.met) == {fault}
    assert "\n" not in str(failed.value)


def test_a_store_that_asks_to_wait_is_waited_for(server: Server) -> None:
    """Our own waits are of milliseconds here."""
    source = put(server)
    with fault_proxy(server.port, first_times(1, "503"), retry_after="1") as proxy:
        filesystems.configure(server.through(proxy.port))
        assert fetch_and_wait(source, Policy(retries=3)).retries == 1
    assert proxy.times[1] - proxy.times[0] >= 1


def test_a_wait_beyond_the_time_bound_is_not_begun(server: Server) -> None:
    source = put(server)
    with fault_proxy(server.port, lambda path: "503", retry_after="3600") as proxy:
        filesystems.configure(server.through(proxy.port))
        with pytest.raises(FetchError):
            fetch_and_wait(source, Policy(retries=3, seconds=60))
        assert proxy.met == {"503": 1}


@pytest.mark.parametrize(("fault", "error"), [("403", "PermissionDenied"), ("400", "FetchFailed")])
def test_lasting_refusals_are_not_tried_again(server: Server, fault: str, error: str) -> None:
    source = put(server)
    with fault_proxy(server.port, lambda path: fault) as proxy:
        filesystems.configure(server.through(proxy.port))
        with pytest.raises(FetchError) as failed:
            fetch_and_wait(source, Policy(retries=3))
    assert failed.value.error == error
    assert proxy.met == {fault: 1}


def test_a_deleted_object_is_gone(server: Server) -> None:
    source = put(server)
    filesystems.filesystem(source.uri).rm_file(source.uri)
    with pytest.raises(FetchError, match="gone") as failed:
        fetch_and_wait(source, Policy(retries=3))
    assert failed.value.error == "NotFound"


def test_a_replaced_object_is_fetched_anew_and_its_row_says_so(s3_server: Server) -> None:
    """S3's If-Match; the emulator of gs:// does not honour generations."""
    source = put(s3_server)
    now = put(s3_server, data=DATA * 2)
    fetched = fetch_and_wait(source, Policy())
    assert fetched.data == DATA * 2
    assert fetched.source.version == now.version != source.version
    assert fetched.source.listed_version == source.version


def test_no_image_is_lost_or_doubled_when_a_fifth_of_the_reads_fail(
    server: Server, tmp_path: Path, run_pipeline: Run
) -> None:
    """500 of 500 at 20 ms latency, and vectors equal to the local run's, byte for byte."""
    faults = tuple(fault for fault in FAULTS if fault not in ("flipped", "stall"))
    (tmp_path / "local").mkdir()
    for i in range(500):
        path = tmp_path / f"local/{i:03}.jpg"
        photo(40, 30, i).save(path, quality=85)
        storage.write_bytes(server.uri(f"images/{i:03}.jpg"), path.read_bytes())
    local = dict(zip(*run_vectors(run_pipeline(input=str(tmp_path / "local"), run_id="local").folder), strict=True))
    with fault_proxy(server.port, now_and_then(0.2, faults), latency=0.02) as proxy:
        report = run_pipeline(
            input=server.uri("images"), run_id="faults", storage_options=server.through(proxy.port), fetch_retries=10
        )
    assert report.manifest["counts"]["embedded"] == 500
    assert report.manifest["counts"]["failed"] == 0
    failing = sum(times for fault, times in proxy.met.items() if fault)
    assert failing > 80
    # Nothing is fetched twice, but for the first image and the sample, at launch, and for whole answers
    # that were lost with a connection that the proxy closed under them.
    assert 501 + PROBES <= proxy.met[""] <= 510 + PROBES
    uris, vectors = run_vectors(report.folder)
    assert len(set(uris)) == len(uris) == 500
    expected = np.stack([local[f"{tmp_path}/local/{uri.rpartition('/')[2]}"] for uri in uris])
    assert vectors.tobytes() == expected.tobytes()
    assert verify_output(str(tmp_path / "output")).holds


def test_a_store_that_refuses_everything_ends_the_run_at_once(
    server: Server, tmp_path: Path, run_pipeline: Run
) -> None:
    for i in range(5):
        put(server, f"images/{i}.jpg")
    with fault_proxy(server.port, lambda path: "403") as proxy:
        with pytest.raises(RunError, match=r"lets none of the first 3 images of .* be read .* give credentials"):
            run_pipeline(input=server.uri("images"), storage_options=server.through(proxy.port))
        assert proxy.met == {"403": 3}
    assert not (tmp_path / "output").exists()


def test_one_object_that_is_refused_is_its_dead_letter(server: Server, tmp_path: Path, run_pipeline: Run) -> None:
    for i in range(5):
        photo(40, 30, i).save(tmp_path / "image.jpg")
        put(server, f"images/{i}.jpg", (tmp_path / "image.jpg").read_bytes())
    with fault_proxy(server.port, lambda path: "403" if "0.jpg" in path else "") as proxy:
        report = run_pipeline(input=server.uri("images"), storage_options=server.through(proxy.port))
    assert report.manifest["counts"]["embedded"] == 4
    assert report.manifest["counts"]["failed_by_error"] == {"PermissionDenied": 1}
