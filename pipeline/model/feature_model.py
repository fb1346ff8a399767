"""A feature module that is ready to run, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from transforms.stores.secrets import redacted


@dataclass(frozen=True)
class FeatureModel:
    """A module that is ready to run.

    Attributes:
        handle: as the user named it.
        digest: sha256 over the SavedModel's files.
        engine, precision: what runs it.
        input_size: (height, width) of its images.
        feature_dim: values of a feature vector.
        artifact_sha256: of what the engine loads.
        parity: agreement of its vectors with the untouched module's, see `fidelity.measure_parity`.
        artifact: path of what the engine loads.
        saved_model: path of the untouched module.
        signature, output_name: of the module, which give the vectors.
    """

    handle: str
    digest: str
    engine: str
    precision: str
    input_size: tuple[int, int]
    feature_dim: int
    artifact_sha256: str
    parity: Mapping[str, Any]
    artifact: str
    saved_model: str
    signature: str = ""
    output_name: str = ""

    def describe(self) -> dict[str, Any]:
        """The manifest's entry: everything but the paths."""
        fields = asdict(self)
        del fields["artifact"], fields["saved_model"]
        return {**fields, "handle": redacted(self.handle), "input_size": list(self.input_size)}
