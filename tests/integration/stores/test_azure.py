"""az:// on Azurite, the emulator of Azure's makers: the whole pipeline, and reads through faults."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.options.config import make_config
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from tests.conftest import Run, photo
from tests.integration.conftest import check_large_upload, clear
from tests.integration.stores.faults import fault_proxy, first_times, now_and_then
from tests.integration.stores.versions import FILES, check_versions
from tests.reading import run_vectors
from tests.transforms.inputs.containers.making import as_text, takes, tar_of
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.reading import read_container
from transforms.stores import filesystems, storage
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait
from transforms.stores.filesystems import StorageOptions

pytestmark = pytest.mark.stores

# The account that every Azurite has, https://learn.microsoft.com/azure/storage/common/storage-use-azurite
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def options_of(port: int) -> dict[str, dict[str, str]]:
    address = f"BlobEndpoint=http://127.0.0.1:{port}/{ACCOUNT}"
    connection = f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};{address}"
    return {"az": {"connection_string": connection}}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    # The SDK is newer than the emulator's list of API versions.
    address = ["--blobHost", "127.0.0.1", "--blobPort", str(port)]
    # At its end it would wait for a telemetry server that cannot be reached.
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    process = subprocess.Popen([os.environ["AZURITE"], *address, *options])
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    filesystems.configure(options_of(port))
    filesystems.filesystem("az://").mkdir("bucket")
    yield port
    process.terminate()
    process.wait(10)


@pytest.fixture
def options(port: int) -> Iterator[StorageOptions]:
    filesystems.configure(options_of(port))
    clear("az://bucket/images")
    yield options_of(port)
    filesystems.configure({})


def test_the_whole_pipeline_runs_on_azure(
    options: StorageOptions, tmp_path: Path, tiny_module: str, run_pipeline: Run
) -> None:
    names = ["plain.jpg", "with space.jpg", "deep/er/naïve 写真.jpg", "hash#1.jpg", "what?.jpg", "a[1].jpg", "100%.jpg"]
    for i, name in enumerate(names):
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(60, 50, i).save(path, quality=90)
        storage.write_bytes(f"az://bucket/images/{name}", path.read_bytes())
    given = {"input": "az://bucket/images", "output": "az://bucket/out", "model": tiny_module, "run_id": "r"}
    report = run(make_config({**given, "storage_options": options}, []))
    assert report is not None
    uris, vectors = run_vectors(report.folder)
    assert sorted(uris) == sorted(f"az://bucket/images/{name}" for name in names)
    assert verify_output("az://bucket/out").holds
    local = dict(zip(*run_vectors(run_pipeline(input=str(tmp_path / "local")).folder), strict=True))
    expected = [local[uri.replace("az://bucket/images", f"{tmp_path}/local")] for uri in uris]
    assert vectors.tobytes() == np.stack(expected).tobytes()


@pytest.mark.parametrize("fault", ["503", "reset", "half", "short", "flipped"])
def test_faults_are_survived(port: int, options: StorageOptions, fault: str) -> None:
    """Azure's own library tries again as well, so the number of tries is not told here."""
    data = os.urandom(5000)
    storage.write_bytes("az://bucket/images/one.jpg", data)
    source = storage.describe("az://bucket/images/one.jpg")
    assert source.checksum.startswith("md5:")
    with fault_proxy(port, first_times(1, fault)) as proxy:
        filesystems.configure(options_of(proxy.port))
        assert fetch_and_wait(source, Policy()).data == data
    assert proxy.met[fault] == 1


@pytest.mark.parametrize(("fault", "error"), [("404", "NotFound"), ("403", "PermissionDenied")])
def test_refusals_are_named(port: int, options: StorageOptions, fault: str, error: str) -> None:
    storage.write_bytes("az://bucket/images/one.jpg", b"x")
    source = storage.describe("az://bucket/images/one.jpg")
    with fault_proxy(port, lambda path: fault) as proxy:
        filesystems.configure(options_of(proxy.port))
        with pytest.raises(FetchError) as failed:
            fetch_and_wait(source, Policy())
    assert failed.value.error == error


def test_exclusive_writes_have_one_winner(options: StorageOptions) -> None:
    storage.write_bytes("az://bucket/exclusive", b"first", exclusive=True)
    with pytest.raises(FileExistsError):
        storage.write_bytes("az://bucket/exclusive", b"second", exclusive=True)
    assert storage.read_bytes("az://bucket/exclusive") == b"first"


def test_large_files_are_uploaded_whole(options: StorageOptions) -> None:
    check_large_upload("az://bucket/large")


def test_parts_of_a_container_are_of_the_listed_etag(
    port: int, options: StorageOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_versions("az://bucket/deep/what? #1.tar", monkeypatch)
    storage.write_bytes("az://bucket/images/x.tar", tar_of(FILES))
    row = storage.describe("az://bucket/images/x.tar")
    with fault_proxy(port, now_and_then(0.2, ("503", "reset", "half", "short"))) as proxy:
        filesystems.configure(options_of(proxy.port))
        found = list(read_container(row, Asked(takes=takes), Policy(retries=10), as_text))
    assert [image.content for image in found] == [data for _, data in FILES]
    assert proxy.met.total() > proxy.met[""] > 40
