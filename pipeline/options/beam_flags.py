"""Options of Beam as its command line has them, and what of them is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from transforms.stores import secrets

# Of Beam's options, those whose values tell nothing that a manifest or a message must not.
HARMLESS = frozenset(
    {
        "autoscaling_algorithm", "direct_num_workers", "direct_running_mode", "disk_size_gb", "environment_type",
        "flink_version", "job_name", "job_server_timeout", "machine_type", "max_num_workers", "network", "num_workers",
        "number_of_worker_harness_threads", "parallelism", "pickle_library", "project", "region", "runner",
        "sdk_location", "sdk_worker_parallelism", "setup_file", "streaming", "subnetwork", "worker_machine_type",
        "worker_region", "worker_zone",
    }
)  # fmt: skip
SECRET = re.compile(r"secret|password|passwd|token|credential|connection_string|access_key|private_key", re.IGNORECASE)


def beam_flags(options: Mapping[str, Any]) -> list[str]:
    """Beam's options of a run config as its command line has them."""
    flags: list[str] = []
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            if item is True:
                flags.append(f"--{name}")
            elif item not in (False, None):
                flags.append(f"--{name}={json.dumps(item) if isinstance(item, dict) else item}")
    return flags


def shown_flags(arguments: Sequence[str]) -> list[str]:
    """Arguments with the values of options that are known to be harmless, and `…` for all others."""
    return [
        f"{name}={value if name.removeprefix('--') in HARMLESS else secrets.HIDDEN}" if value else name
        for name, value in pairs(arguments)
    ]


def remember_values(arguments: Sequence[str]) -> None:
    """Has values of options that are not known to be harmless taken out of what is shown."""
    for name, value in pairs(arguments):
        if SECRET.search(name):
            secrets.remember(value)


def secret_names(arguments: Sequence[str]) -> list[str]:
    """The options whose names say that their values are secrets."""
    return [name for name, value in pairs(arguments) if value and SECRET.search(name)]


def pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(--name, value) of arguments of the forms --name=value, --name value, --name; a stray value has no name."""
    name = ""
    for argument in arguments:
        if argument.startswith("-"):
            if name:
                yield name, ""
            name, equals, value = argument.partition("=")
            if equals:
                yield name, value
                name = ""
        else:
            yield name, argument
            name = ""
    if name:
        yield name, ""
