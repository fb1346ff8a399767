"""The int8 artifact of an output: calibrated once, on images of the first run, and kept beside the runs.

Vectors of two calibrations are not comparable, so later runs of the same output take the artifact that
is there.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.console.logs import logger
from pipeline.errors import ModelError
from pipeline.model.conversion import to_int8
from pipeline.model.feature_model import FeatureModel
from pipeline.model.sampling import Loading, Sample, load_pixels
from pipeline.model.sealing import sealed
from pipeline.model.signatures import Wanted
from transforms.records import layout
from transforms.stores import storage


def quantize(output: str, loading: Loading, model: FeatureModel, sample: Sample) -> tuple[str, str]:
    """(path, sha256) of the int8 artifact of a model for an output, made when the output has none.

    Raises:
        ModelError: the module cannot be quantized.
    """
    load = loading(model.input_size)
    uri = _place_of(output, load.resize, model)
    if not storage.exists(uri):
        pixels = load_pixels(sample.calibration, load)
        pixels = pixels if len(pixels) else sample.probes.pixels
        logger.info("int8: calibrating on %d images, kept for later runs in %s", len(pixels), uri)
        try:
            wanted = Wanted(model.signature, model.output_name)
            calibrated = to_int8(Path(model.saved_model), model.handle, pixels, wanted)
            storage.write_bytes(uri, calibrated, exclusive=True)
        except FileExistsError:
            logger.info("int8: another run was faster; its calibration is taken")
    return _kept(uri)


def quantized_before(output: str, resize: str, model: FeatureModel, _: Sample) -> tuple[str, str]:
    """(path, sha256) of the int8 artifact of a model that runs of an output have left there.

    Raises:
        ModelError: there is none.
    """
    uri = _place_of(output, resize, model)
    if not storage.exists(uri):
        raise ModelError(
            f"{uri}: the int8 artifact of the runs is not there; vectors of another one cannot be compared"
        )
    return _kept(uri)


def _place_of(output: str, resize: str, model: FeatureModel) -> str:
    height, width = model.input_size
    # Of a module's outputs each has an artifact of its own, whose name is bounded whatever theirs are.
    of_output = hashlib.sha256(f"{model.signature}\n{model.output_name}".encode()).hexdigest()[:8]
    name = f"{model.digest[:16]}-{of_output}-{model.engine}-int8-{resize}-{height}x{width}"
    return layout.artifact_file(output, name)


def _kept(uri: str) -> tuple[str, str]:
    artifact = storage.read_bytes(uri)
    sha256 = hashlib.sha256(artifact).hexdigest()

    def keep(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "artifact").write_bytes(artifact)

    return str(sealed("int8", {"sha256": sha256}, keep, lambda folder: folder / "artifact")), sha256
