"""The artifact of a module for an engine, from the cache: converted once for all that it depends on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.model.cache import version_of
from pipeline.model.conversion import CONVERSION_VERSION, ConversionError, convert
from pipeline.model.feature_model import FeatureModel
from pipeline.model.sealing import digest_of, sealed
from pipeline.model.signatures import Wanted
from transforms.engines import PACKAGES

ARTIFACT, FACTS = "artifact", "facts.json"
REFUSAL = "refusal"  # the key of facts that are a reason instead: finding it out may take minutes
# By key of the facts, what its value is.
SCHEMA = {"sha256": str, "input_size": list, "feature_dim": int, "signature": str, "output_name": str}


def converted(handle: str, saved_model: Path, digest: str, engine: str, precision: str, wanted: Wanted) -> FeatureModel:
    """A module with its artifact, which is made when the cache has none that is whole.

    Raises:
        ConversionError: the engine cannot convert the module; that is kept, too.
        ModelError: the module is not of the right shape, or was changed meanwhile.
    """
    precision_made = "f32" if precision == "int8" else precision  # int8 is calibrated later

    def build(folder: Path) -> None:
        try:
            conversion = convert(saved_model, handle, engine, precision, wanted)
        except ConversionError as e:
            folder.mkdir(parents=True)
            (folder / FACTS).write_text(json.dumps({REFUSAL: e.reason}))
            return
        if digest_of(saved_model) != digest:  # else the old digest would stand for the new weights from now on
            raise ModelError(f"{handle}: {saved_model} was changed while it was read; try again when it is whole")
        folder.mkdir(parents=True)
        (folder / ARTIFACT).write_bytes(conversion.artifact)
        facts = {
            "sha256": hashlib.sha256(conversion.artifact).hexdigest(),
            "input_size": conversion.input_size,
            "feature_dim": conversion.feature_dim,
            "signature": conversion.signature,
            "output_name": conversion.output_name,
        }
        (folder / FACTS).write_text(json.dumps(facts))

    made_of = {
        "version": CONVERSION_VERSION,
        "module": digest,
        "engine": [engine, precision_made],
        "wanted": wanted._asdict(),
        "packages": {name: version_of(name) for name in ("tensorflow", "numpy", "pillow", PACKAGES[engine])},
    }
    folder, facts = sealed("artifacts", made_of, build, lambda folder: (folder, _read_facts(folder)))
    if REFUSAL in facts:
        raise ConversionError(handle, facts[REFUSAL])
    return FeatureModel(
        handle=handle,
        digest=digest,
        engine=engine,
        precision=precision,
        input_size=(facts["input_size"][0], facts["input_size"][1]),
        feature_dim=facts["feature_dim"],
        artifact_sha256=facts["sha256"],
        parity={},
        artifact=str(folder / ARTIFACT),
        saved_model=str(saved_model),
        signature=facts["signature"],
        output_name=facts["output_name"],
    )


def _read_facts(folder: Path) -> dict[str, Any]:
    """What was learnt when an artifact was made; what is not so is one of `sealing.UNREADABLE`."""
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text())
    if set(facts) == {REFUSAL}:
        return facts
    if set(facts) != set(SCHEMA) or not all(isinstance(facts[key], kind) for key, kind in SCHEMA.items()):
        raise ValueError("no facts of an artifact")
    height, width = facts["input_size"]
    if min(height, width, facts["feature_dim"]) < 1:
        raise ValueError("no sizes")
    if not (folder / ARTIFACT).is_file():  # its bytes are under the seal
        raise ValueError("no artifact")
    return facts
