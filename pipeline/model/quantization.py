"""The int8 artifact of an output: calibrated once, on images of the first run, and kept beside the runs.

Vectors of two calibrations are not comparable, so later runs of the same output take the artifact that
is there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.console.logs import logger
from pipeline.model.cache import cached
from pipeline.model.conversion import to_int8
from pipeline.model.feature_model import FeatureModel
from pipeline.model.sampling import Loading, Sample, load_pixels
from transforms.records import layout
from transforms.stores import storage


def quantize(output: str, loading: Loading, model: FeatureModel, sample: Sample) -> tuple[str, str]:
    """(path, sha256) of the int8 artifact of a model for an output, made when the output has none.

    Raises:
        ModelError: the module cannot be quantized.
    """
    height, width = model.input_size
    load = loading(model.input_size)
    uri = layout.artifact_file(output, f"{model.digest[:16]}-{model.engine}-int8-{load.resize}-{height}x{width}")
    if not storage.exists(uri):
        pixels = load_pixels(sample.calibration, load)
        pixels = pixels if len(pixels) else sample.probes
        logger.info("int8: calibrating on %d images, kept for later runs in %s", len(pixels), uri)
        try:
            storage.write_bytes(uri, to_int8(Path(model.saved_model), model.handle, pixels), exclusive=True)
        except FileExistsError:
            logger.info("int8: another run was faster; its calibration is taken")
    artifact = storage.read_bytes(uri)
    sha256 = hashlib.sha256(artifact).hexdigest()

    def keep(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "artifact").write_bytes(artifact)

    return str(cached(f"artifacts/int8-{sha256}", keep) / "artifact"), sha256
