"""The curve of fidelity and speed: what bf16 and int8 lose with trained weights, by how many layers stay in f32.

With the SavedModel that EMBED_IMAGES_REAL_MODULE names, on photos of the corpus; int8 is calibrated on others of them.
A row for each number of convolutions, from the input on, that stay in f32 (`pipeline.model.rounding`):

- mean, least, neighbours: cosines and neighbour agreement with the untouched module's vectors, as a run measures them
  (`pipeline.model.fidelity`), on 64 photos.
- by f32: how many times faster the engine alone is than the same engine in f32, timed in turns with it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import corpora
import numpy as np
from measuring import machine
from roofline import SIZE, fastest

from pipeline.graph import loading_of
from pipeline.model.conversion import convert, reference_vectors, to_int8
from pipeline.model.fidelity import measure_parity
from pipeline.model.sampling import load_pixels, split_pool
from pipeline.model.signatures import Wanted
from pipeline.options.config import make_config
from transforms.engines import BATCH_SIZE, load_engine
from transforms.engines.engine import Engine
from transforms.inputs.inputs import list_input

KEPT = {"bf16": (0, 1, 2, 3, 4, 6, 8, 12), "int8": (0, 1, 2, 4, 6, 8, 14)}
RESULTS = Path(__file__).parent / "results" / "fidelity.json"
Variants = dict[str, Callable[[], bytes]]


def bf16_variants(module: Path, engine: str) -> Variants:
    """Makers of artifacts, by what they leave in f32."""

    def made(precision: str, kept: int | None = None) -> bytes:
        return convert(module, str(module), engine, precision, Wanted(input_size=SIZE), kept).artifact

    variants: Variants = {str(count): partial(made, "bf16", count) for count in KEPT["bf16"]}
    if engine == "openvino":  # which rounds an f32 artifact by itself
        return {"0, biases as they are": partial(made, "f32"), **variants}
    return variants


def int8_variants(module: Path, calibration: np.ndarray) -> Variants:
    """Makers of artifacts, by what they leave in f32."""
    return {str(count): partial(to_int8, module, str(module), calibration, kept=count) for count in KEPT["int8"]}


def photos(module: str) -> tuple[np.ndarray, np.ndarray]:
    """(probes, calibration) of the corpus, as a run takes them: uint8 [N, 224, 224, 3]."""
    corpus = corpora.corpus("small", corpora.COUNTS["small"])
    config = make_config({"input": str(corpus), "output": str(corpora.folder() / "fidelity"), "model": module}, [])
    probes, calibration = split_pool(list(list_input(str(corpus), config.rules)))
    loading = loading_of(config, SIZE)
    return load_pixels(probes, loading), load_pixels(calibration, loading)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    given = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    if not given:
        sys.exit("EMBED_IMAGES_REAL_MODULE names no SavedModel with trained weights; random ones lose nothing alike")
    module = Path(given)
    probes, calibration = photos(given)
    expected = reference_vectors(module, given, probes)
    rows = []
    print(f"{'':<16} {'convolutions in f32':<22} {'mean':>8} {'least':>8} {'neighbours':>10} {'by f32':>6}")
    for engine, precision, variants in (
        ("openvino", "bf16", bf16_variants(module, "openvino")),
        ("tensorflow", "bf16", bf16_variants(module, "tensorflow")),
        ("litert", "int8", int8_variants(module, calibration)),
    ):
        size = BATCH_SIZE
        batches = probes[: len(probes) // size * size].reshape(-1, size, *probes.shape[1:])
        exact = load_engine(engine, convert(module, given, engine, "f32", Wanted(input_size=SIZE)).artifact, size)
        for in_f32, make in variants.items():
            embed = load_engine(engine, make(), size, precision=precision)
            parity = measure_parity(expected, np.concatenate([embed(batch) for batch in batches]))
            speed = fastest(partial(embed_all, exact, batches)) / fastest(partial(embed_all, embed, batches))
            rows.append({"precision": precision, "engine": engine, "in_f32": in_f32, **parity, "by_f32": speed})
            figures = [parity[key] for key in ("mean_cosine", "min_cosine", "neighbour_agreement")]
            label = f"{engine} {precision}"
            print(f"{label:<16} {in_f32:<22} {figures[0]:8.4f} {figures[1]:8.4f} {figures[2]:10.3f} {speed:6.2f}")
    RESULTS.write_text(json.dumps({"machine": machine(), "module": module.name, "rows": rows}, indent=2) + "\n")


def embed_all(embed: Engine, batches: np.ndarray) -> None:
    for batch in batches:
        embed(batch)


if __name__ == "__main__":
    main()
