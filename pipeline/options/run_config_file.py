"""Reading YAML run configs: the options of the command line by name, and `pipeline_options:` for Beam."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from pipeline.errors import ConfigError
from pipeline.options.table import BY_NAME, PIPELINE_OPTIONS, closest_option


def read_run_config(path: str) -> tuple[dict[str, Any], list[str]]:
    """The options of a YAML file, unchecked, and its arguments for Beam.

    Raises:
        ConfigError: no such file, not YAML, or an unknown key.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(file)
    except OSError as e:
        raise ConfigError("--config", path, f"a YAML file that can be read ({e.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        reason = " ".join(str(e).split())
        raise ConfigError("--config", path, f"a YAML file; this one does not parse: {reason}") from None
    if not isinstance(content, dict):
        raise ConfigError("--config", path, "a YAML mapping of option names to values")
    beam_options = content.pop(PIPELINE_OPTIONS, None) or {}
    if not isinstance(beam_options, dict):
        raise ConfigError(f"{path}: {PIPELINE_OPTIONS}", beam_options, "a mapping of Beam's option names to values")
    for key, value in content.items():
        if str(key) not in BY_NAME:
            raise ConfigError(f"{path}: {key}", value, f"no such option{closest_option(str(key))}")
    for key in beam_options:
        if str(key) in BY_NAME:
            raise ConfigError(f"{path}: {PIPELINE_OPTIONS}.{key}", beam_options[key], "it belongs to the top level")
    return content, beam_flags(beam_options)


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
