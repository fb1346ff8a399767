"""Prices and machine types: a YAML file that the user may replace."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeFloat, PositiveFloat, PositiveInt, ValidationError

from pipeline.errors import ConfigError
from pipeline.options.bounded_yaml import MOST_CHARACTERS, load_yaml

OWN = Path(__file__).with_name("prices.yaml")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Dataflow(_Strict):
    """Of its batch workers: money an hour, or a GB, and how fast they are."""

    vcpu_hour: NonNegativeFloat
    memory_gb_hour: NonNegativeFloat
    disk_gb_hour: NonNegativeFloat
    shuffle_gb: NonNegativeFloat
    start_minutes: NonNegativeFloat
    core_speed: PositiveFloat


class Machine(_Strict):
    """A machine type of workers."""

    vcpus: PositiveInt
    memory_gb: PositiveFloat


class Requests(_Strict):
    """Money for 1,000 requests of a store."""

    list: NonNegativeFloat
    read: NonNegativeFloat
    write: NonNegativeFloat


class Prices(_Strict):
    """What costs are reckoned with."""

    currency: str
    as_of: date
    dataflow: Dataflow
    machines: dict[str, Machine]
    stores: dict[str, Requests]

    def machine(self, name: str) -> Machine:
        """Raises ConfigError of a machine type that is not among them."""
        if name not in self.machines:
            known = ", ".join(sorted(self.machines))
            raise ConfigError("--machine_type", name, f"one of {known}; --prices FILE may have others")
        return self.machines[name]


def read_prices(path: str = "") -> Prices:
    """Those of a file; by default those that come with the program.

    Raises:
        ConfigError: no such file, or what in it is wrong.
    """
    try:
        with open(path or OWN, encoding="utf-8") as file:
            return Prices.model_validate(load_yaml(file.read(MOST_CHARACTERS + 1)))
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ConfigError(
            "--prices", path, f"a file of the form of {OWN}; of {where} it is said: {first['msg']}"
        ) from None
    except OSError as e:
        raise ConfigError("--prices", path, f"a YAML file that can be read ({e.strerror})") from None
    except ValueError as e:
        raise ConfigError("--prices", path, f"a YAML file; this one does not parse: {e}") from None
