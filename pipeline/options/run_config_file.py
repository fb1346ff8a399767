"""Reading YAML run configs: the options of the command line by name, and `pipeline_options:` for Beam."""

from __future__ import annotations

from typing import Any

from pipeline.errors import ConfigError
from pipeline.options.arguments import closest_option
from pipeline.options.beam_flags import beam_flags
from pipeline.options.bounded_yaml import MOST_CHARACTERS, load_yaml
from pipeline.options.table import BY_NAME, OWN_FLAGS, PIPELINE_OPTIONS
from transforms.stores.secrets import HIDDEN


def read_run_config(path: str) -> tuple[dict[str, Any], list[str]]:
    """The options of a YAML file, unchecked, and its arguments for Beam.

    Raises:
        ConfigError: no such file, not YAML, or an unknown key.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = load_yaml(file.read(MOST_CHARACTERS + 1))
    except OSError as e:
        raise ConfigError("--config", path, f"a YAML file that can be read ({e.strerror})") from None
    except ValueError as e:
        raise ConfigError("--config", path, f"a YAML file; this one does not parse: {e}") from None
    if not isinstance(content, dict):
        raise ConfigError("--config", path, "a YAML mapping of option names to values")
    beam_options = content.pop(PIPELINE_OPTIONS, None) or content.pop(PIPELINE_OPTIONS.replace("_", "-"), None) or {}
    if not isinstance(beam_options, dict):
        raise ConfigError(f"{path}: {PIPELINE_OPTIONS}", HIDDEN, "a mapping of Beam's option names to values")
    content = _with_underscores(content, path)
    beam_options = _with_underscores(beam_options, f"{path}: {PIPELINE_OPTIONS}")
    for key in content:
        if str(key) not in BY_NAME:
            raise ConfigError(f"{path}: {key}", HIDDEN, f"no such option{closest_option(str(key))}")
    for key in beam_options:
        if str(key) in OWN_FLAGS:
            raise ConfigError(f"{path}: {PIPELINE_OPTIONS}.{key}", HIDDEN, "it belongs to the top level")
    for key, value in beam_options.items():
        if isinstance(value, float) and str(key).endswith("version"):
            quoted = f'a text in quotes, such as "{value}0" or "{value}": YAML takes it for a number, and 1.20 for 1.2'
            raise ConfigError(f"{path}: {PIPELINE_OPTIONS}.{key}", value, quoted)
    return content, beam_flags(beam_options)


def _with_underscores(options: dict[Any, Any], where: str) -> dict[Any, Any]:
    """Options with `_` for each `-` in their names, as on the command line.

    Raises:
        ConfigError: one is there in both spellings.
    """
    found: dict[Any, Any] = {}
    for key, value in options.items():
        name = key.replace("-", "_") if isinstance(key, str) else key
        if name in found:
            raise ConfigError(f"{where}: {name}", HIDDEN, "it is there twice, as - and _ are the same")
        found[name] = value
    return found
