"""The examples for Kubernetes, by its own schemas and by the Flink Kubernetes Operator's definition of its resources.

    check_kubernetes.py JAR

Run by `make test-schedulers`, not by pytest, in an environment of its own. JAR is the operator's, from Maven Central.
"""

from __future__ import annotations

import copy
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

CONFIGS = Path(__file__).parents[2] / "run_configs"
DEFINITION = "META-INF/fabric8/flinkdeployments.flink.apache.org-v1.yml"
VERSION = kubernetes_validate.latest_version()
Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    return list(yaml.safe_load_all(path.read_text()))


def check_kubernetes(manifest: Manifest) -> None:
    """By the schemas of the newest Kubernetes that are known, unknown keys refused."""
    kubernetes_validate.validate(manifest, VERSION, strict=True)


class Operator:
    """What the operator's API server takes for a FlinkDeployment."""

    def __init__(self, jar: Path) -> None:
        with zipfile.ZipFile(jar) as archive:
            definition = yaml.safe_load(archive.read(DEFINITION))
        (version,) = definition["spec"]["versions"]
        self.api_version = f"{definition['spec']['group']}/{version['name']}"
        self.schema = closed(version["schema"]["openAPIV3Schema"])
        # The API server knows these two by itself.
        self.schema["properties"] |= {"apiVersion": {"const": self.api_version}, "kind": {}, "metadata": {}}

    def check(self, manifest: Manifest) -> None:
        """The resource, and the pods that it is a template of, as the schemas of Kubernetes have them."""
        jsonschema.Draft202012Validator(self.schema).validate(manifest)
        spec = manifest["spec"]
        for part in (spec, spec["jobManager"], spec["taskManager"]):
            if template := part.get("podTemplate"):
                pod = {"spec": {"containers": [{"name": "flink-main-container"}]}, **template}
                check_kubernetes({"apiVersion": "v1", "kind": "Pod", **pod})


def closed(schema: Any) -> Any:
    """A schema in which objects have no other keys than those that it names: an API server drops or refuses those."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        inner.setdefault("additionalProperties", False)
    return inner


def must_be_refused(check: Callable[[Manifest], None], manifest: Manifest, *keys: str | int, to: Any) -> None:
    """A check that takes a manifest with a wrong value in it checks nothing."""
    broken = copy.deepcopy(manifest)
    place: Any = broken
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    try:
        check(broken)
    except (kubernetes_validate.ValidationError, jsonschema.ValidationError):
        return
    raise AssertionError(f"not refused: {'.'.join(map(str, keys))}: {to}")


def main(jar: Path) -> None:
    operator = Operator(jar)
    for path in (CONFIGS / "schedulers/cronjob.yaml", *sorted((CONFIGS / "flink").glob("*.yaml"))):
        for manifest in documents(path):
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            if kind == "FlinkDeployment":
                operator.check(manifest)
                print(f"{path.name}: {name}, a FlinkDeployment of {operator.api_version} in {jar.name}")
            else:
                check_kubernetes(manifest)
                print(f"{path.name}: {name}, a {kind} of Kubernetes {VERSION}")
            must_be_refused(
                operator.check if kind == "FlinkDeployment" else check_kubernetes, manifest, "spec", "replikas", to=1
            )
    (cluster,) = (each for each in documents(CONFIGS / "flink/cluster.yaml") if each["kind"] == "FlinkDeployment")
    must_be_refused(operator.check, cluster, "apiVersion", to="flink.apache.org/v1")
    must_be_refused(operator.check, cluster, "spec", "flinkVersion", to="1.20")
    must_be_refused(operator.check, cluster, "spec", "flinkConfiguration", "taskmanager.numberOfTaskSlots", to=1)
    pool = ("spec", "taskManager", "podTemplate", "spec", "initContainers", 0)
    must_be_refused(operator.check, cluster, *pool, "restartPolice", to="Always")
    must_be_refused(operator.check, cluster, *pool, "ports", 0, "containerPort", to="50000")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
