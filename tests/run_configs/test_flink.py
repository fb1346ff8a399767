"""The example of run_configs/flink/: its parts know one another, and the night's command is one of ours.

`make test-schedulers` checks them by the schemas of Kubernetes and of Flink's operator.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline.options.arguments import add_arguments
from pipeline.options.config import make_config

CONFIGS = Path(__file__).parents[2] / "run_configs"
CLUSTER = "embed-images-flink"
IN_THE_IMAGE = "/opt/embed-images/run_configs/"


def manifests() -> dict[str, Any]:
    """By kind; there is one of each."""
    found = [each for path in (CONFIGS / "flink").glob("*.yaml") for each in yaml.safe_load_all(path.read_text())]
    assert len({each["kind"] for each in found}) == len(found)
    return {each["kind"]: each for each in found}


def night(manifest: dict[str, Any]) -> Any:
    (container,) = manifest["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    return container


def test_the_night_is_a_command_of_ours() -> None:
    container = night(manifests()["CronJob"])
    script, config = container["command"][-1], {each["name"]: each["value"] for each in container["env"]}
    paths = [CONFIGS / path.removeprefix(IN_THE_IMAGE) for path in (script, config["EMBED_IMAGES_CONFIG"])]
    assert [path.name for path in paths] == ["nightly.sh", "flink.yaml"]
    assert all(path.is_file() for path in paths)
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = ["--input", config["EMBED_IMAGES_INPUT"], "--output", config["EMBED_IMAGES_OUTPUT"]]
    known, beam_args = parser.parse_known_args([*given, *container["args"]])
    made = make_config(vars(known) | {"config": str(paths[1])}, beam_args)
    assert made.incremental
    assert made.engine != "auto"
    options = PipelineOptions(list(made.beam_args)).get_all_options()
    assert (options["environment_type"], options["environment_config"]) == ("EXTERNAL", "localhost:50000")
    assert (options["flink_master"], options["flink_version"]) == (f"{CLUSTER}-rest:8081", "1.20")


def test_the_parts_know_one_another() -> None:
    found = manifests()
    cluster, server, service = found["FlinkDeployment"], found["Deployment"], found["Service"]
    (pool,) = cluster["spec"]["taskManager"]["podTemplate"]["spec"]["initContainers"]
    assert [each["containerPort"] for each in pool["ports"]] == [50000]
    assert pool["image"] == night(found["CronJob"])["image"]

    pod = server["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    flags = dict(arg.split("=") for arg in container["args"])
    assert cluster["metadata"]["name"] == CLUSTER
    assert flags["--flink-master"] == f"{CLUSTER}-rest:8081"
    own = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert own == {"jobs": int(flags["--job-port"]), "artifacts": int(flags["--artifact-port"])}
    assert {each["targetPort"]: each["port"] for each in service["spec"]["ports"]} == own
    name = service["metadata"]["name"]
    for option, port in (("job_endpoint", own["jobs"]), ("artifact_endpoint", own["artifacts"])):
        assert f"--{option}={name}:{port}" in night(found["CronJob"])["args"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()


def test_a_worker_pool_is_reached_from_its_own_pod_only() -> None:
    found = manifests()
    (label,) = found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"].items()
    for template in (
        found["FlinkDeployment"]["spec"]["podTemplate"],
        found["Deployment"]["spec"]["template"],
        found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"],
    ):
        assert label in template["metadata"]["labels"].items()
    for rule in found["NetworkPolicy"]["spec"]["ingress"]:
        assert not any(each["port"] <= 50000 <= each.get("endPort", each["port"]) for each in rule["ports"])
