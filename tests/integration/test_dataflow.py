"""What is submitted to Dataflow: the DataflowRunner's own job, caught by a stand-in of the service's API."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2, schema_pb2

from pipeline.config import make_config
from pipeline.lease import holder_of
from pipeline.run import run
from tests.conftest import photo
from tests.integration.conftest import Server
from transforms import filesystems, storage

ROOT = Path(__file__).parents[2]
IMAGE = "europe-docker.pkg.dev/my-project/images/embed-images:0.1.0"


class DataflowService(http.server.ThreadingHTTPServer):
    """Takes jobs as the service's REST API does, and does nothing with them."""

    def __init__(self) -> None:
        self.jobs: list[dict[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service = self.server
                assert isinstance(service, DataflowService)
                service.jobs.append(job)
                answer = {**job, "id": f"job-{len(service.jobs)}", "currentState": "JOB_STATE_QUEUED"}
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("localhost", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture
def service() -> Iterator[DataflowService]:
    server = DataflowService()
    yield server
    server.shutdown()


@pytest.fixture
def store(gs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """For fsspec, and for the client that Beam stages with."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gs_server.options["gs"]["endpoint_url"])
    filesystems.configure(gs_server.options)
    storage.remove_folder(gs_server.uri(""))
    yield gs_server
    filesystems.configure({})


def submit(store: Server, service: DataflowService, tiny_module: str, tmp_path: Path, **options: Any) -> dict[str, Any]:
    """The job that `embed-images run` with run_configs/dataflow.yaml submits."""
    photo(60, 50).save(tmp_path / "a.jpg", quality=90)
    storage.write_bytes(store.uri("photos/a.jpg"), (tmp_path / "a.jpg").read_bytes())
    given = {
        "config": str(ROOT / "run_configs/dataflow.yaml"),
        "input": store.uri("photos"),
        "output": store.uri("features"),
        "model": tiny_module,
        "run_id": "night",
        "no_wait": True,
        "storage_options": store.options,
        **options,
    }
    beam_args = ["--project=my-project", "--no_auth", f"--dataflow_endpoint=http://localhost:{service.server_port}"]
    beam_args += [f"--temp_location={store.uri('temp')}", f"--sdk_container_image={IMAGE}"]
    assert run(make_config(given, beam_args)) is None
    (job,) = service.jobs
    return job


def test_the_submitted_job(store: Server, service: DataflowService, tiny_module: str, tmp_path: Path) -> None:
    job = submit(store, service, tiny_module, tmp_path)
    print(json.dumps(job, indent=1)[:6000])
    print(list(filesystems.filesystem("gs://").find(store.uri(""))))
    assert holder_of(store.uri("features"), "night")
    assert beam_runner_api_pb2
    assert common_urns
    assert schema_pb2
