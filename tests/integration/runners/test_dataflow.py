"""What is submitted to Dataflow: the DataflowRunner's own job, caught by a stand-in of the service's API."""

from __future__ import annotations

import base64
import bz2
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2

from pipeline.errors import ConfigError, RunError
from pipeline.options.config import make_config
from pipeline.outputs.lease import holder_of
from pipeline.runs.run import run
from tests.conftest import photo
from tests.integration.conftest import Server
from tests.integration.runners.dataflow_service import IMAGE, DataflowService
from tests.integration.runners.processes import ROOT
from transforms.stores import filesystems, storage


def submit(
    store: Server,
    service: DataflowService,
    tiny_module: str,
    tmp_path: Path,
    more_args: Sequence[str] = (),
    **options: Any,
) -> dict[str, Any]:
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
    beam_args += [f"--temp_location={store.uri('temp')}", f"--sdk_container_image={IMAGE}", *more_args]
    assert run(make_config(given, beam_args)) is None
    (job,) = service.jobs
    return job


def test_the_submitted_job(store: Server, service: DataflowService, tiny_module: str, tmp_path: Path) -> None:
    """Image, machines, options; what is staged; and that nothing is embedded by the launcher."""
    job = submit(store, service, tiny_module, tmp_path)
    (pool,) = job["environment"]["workerPools"]
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert "no_use_multiple_sdk_containers" in job["environment"]["experiments"]
    assert (pool["machineType"], pool["diskSizeGb"], pool["numThreadsPerWorker"]) == ("n2-standard-4", 50, 2)
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 200
    assert pool["ipConfiguration"] == 2  # WORKER_IP_PRIVATE
    assert job["labels"] == {"app": "embed-images"}
    shown = job["environment"]["sdkPipelineOptions"]["options"]
    assert (shown["input"], shown["run_id"]) == ([store.uri("photos")], "night")
    assert not shown["save_main_session"]
    assert "storage_options" not in shown

    names = [path.removeprefix("bucket/") for path in filesystems.filesystem("gs://").find(store.uri(""))]
    assert sorted(re.sub("[0-9a-f]{32}", "ATTEMPT", name) for name in names if name.startswith("features/")) == [
        "features/.staging/night/ATTEMPT/attempt.json",
        "features/.staging/night/ATTEMPT/model/" + names[1].rpartition("/")[2],
        "features/.staging/night/lease-000001.json",
    ]
    # The job goes on without its launcher, so the run id stays held.
    assert holder_of(store.uri("features"), "night")
    with pytest.raises(RunError, match="is being worked at by"):
        submit(store, service, tiny_module, tmp_path)


def test_one_shuffle_without_pixels_in_the_submitted_pipeline(
    store: Server, service: DataflowService, tiny_module: str, tmp_path: Path
) -> None:
    submit(store, service, tiny_module, tmp_path)
    components = submitted_graph(store)
    upstream = upstream_of(components)
    (write,) = [key for key, each in components.transforms.items() if each.unique_name == "WriteShards/Write"]
    (listing,) = [key for key, each in components.transforms.items() if each.unique_name == "ListImages/List"]
    between = [
        components.transforms[key]
        for key in upstream(write) - upstream(listing)
        if components.transforms[key].spec.urn == common_urns.primitives.GROUP_BY_KEY.urn
    ]
    assert [shuffle.unique_name for shuffle in between] == ["SelectImages/GroupByUnit"]
    (source,) = between[0].inputs.values()
    key, value = components.coders[components.pcollections[source].coder_id].component_coder_ids
    assert components.coders[key].spec.urn == common_urns.coders.VARINT.urn
    assert components.coders[value].spec.urn == common_urns.coders.BYTES.urn
    named = {each.unique_name: key for key, each in components.transforms.items()}
    packing, loading = named["SelectImages/PackListed/Pack"], named["LoadImages/FetchAndDecode"]
    shuffling = named["SelectImages/GroupByUnit"]
    # Blocks are of listing rows: no image is opened before the shuffle.
    assert packing in upstream(shuffling)
    assert loading not in upstream(shuffling)
    assert shuffling in upstream(loading)


def submitted_graph(store: Server) -> beam_runner_api_pb2.Components:
    (staged,) = [
        path for path in filesystems.filesystem("gs://").find(store.uri("temp")) if path.endswith("pipeline.pb")
    ]
    return beam_runner_api_pb2.Pipeline.FromString(storage.read_bytes(f"gs://{staged}")).components


def test_workers_with_gpus_do_what_lies_between_the_shuffle_and_the_shards(
    store: Server, service: DataflowService, tiny_module: str, tmp_path: Path
) -> None:
    config = str(ROOT / "run_configs/dataflow_gpu.yaml")
    job = submit(store, service, tiny_module, tmp_path, config=config)
    assert {pool["machineType"] for pool in job["environment"]["workerPools"]} == {"n2-standard-2"}
    components = submitted_graph(store)
    hint = common_urns.resource_hints.ACCELERATOR.urn
    hints = {
        transform.unique_name: components.environments[transform.environment_id].resource_hints.get(hint, b"").decode()
        for transform in components.transforms.values()
        if transform.environment_id
    }
    gpu = "type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver"
    work = ("SelectImages/Choose", "LoadImages", "EmbedImages", "EncodeExamples", "HoldLease", "WriteShards")
    with_gpu = {name for name, value in hints.items() if value == gpu}
    assert {name.partition("/")[0] for name in with_gpu} == {name.partition("/")[0] for name in work}
    assert all(name.startswith(work) for name in with_gpu)
    assert {"ListImages/List", "SelectImages/PackListed/Pack", "PublishRun/Finish"} <= hints.keys() - with_gpu
    pools = job["environment"]["workerPools"]
    assert {image["containerImage"] for pool in pools for image in pool["sdkHarnessContainerImages"]} == {IMAGE}


CANARY = "CANARY0123456789"


def test_the_job_names_secrets_and_tells_none(
    store: Server, service: DataflowService, tiny_module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each worker reads what `env:NAME` names for itself; a secret as such is refused before anything is submitted."""
    monkeypatch.setenv("THE_SECRET", CANARY)
    with pytest.raises(ConfigError, match="the job's definition would show it"):
        submit(store, service, tiny_module, tmp_path, storage_options={**store.options, "s3": {"secret": CANARY}})
    with pytest.raises(ConfigError, match="the job's definition would show it"):
        submit(store, service, tiny_module, tmp_path, more_args=[f"--s3_secret_access_key={CANARY}"])
    assert service.jobs == []
    named = {**store.options, "s3": {"secret": "env:THE_SECRET"}}
    job = submit(store, service, tiny_module, tmp_path, storage_options=named)
    assert CANARY not in json.dumps(job)
    found = filesystems.filesystem("gs://").find(store.uri(""))
    objects = {path: storage.read_bytes(f"gs://{path}") for path in found}
    assert not [path for path, content in objects.items() if CANARY.encode() in content]
    (graph,) = (content for path, content in objects.items() if path.endswith("pipeline.pb"))
    pickled = pickled_functions(graph)
    assert any(b"env:THE_SECRET" in function for function in pickled)
    assert not any(CANARY.encode() in function for function in pickled)


def pickled_functions(graph: bytes) -> list[bytes]:
    """The DoFns of a pipeline as they were pickled: Beam compresses them."""
    transforms = beam_runner_api_pb2.Pipeline.FromString(graph).components.transforms.values()
    par_dos = (each for each in transforms if each.spec.urn == common_urns.primitives.PAR_DO.urn)
    payloads = (beam_runner_api_pb2.ParDoPayload.FromString(each.spec.payload).do_fn.payload for each in par_dos)
    return [bz2.decompress(base64.b64decode(payload)) for payload in payloads]


def upstream_of(components: Any) -> Callable[[str], set[str]]:
    """Gives the keys of all primitive transforms whose elements come to one, through main and side inputs."""
    producers = {
        output: key
        for key, each in components.transforms.items()
        if not each.subtransforms
        for output in each.outputs.values()
    }

    def upstream(key: str) -> set[str]:
        found: set[str] = set()
        pending = [key]
        while pending:
            for source in components.transforms[pending.pop()].inputs.values():
                if source in producers and producers[source] not in found:
                    found.add(producers[source])
                    pending.append(producers[source])
        return found

    return upstream
