"""The roofline: what these cores could do if nothing but decoding and the model cost anything.

- decode: milliseconds of one core an image, of `decode_image`, by corpus: wall time by the number of cores, all of
  which decode at once, as in a run. (One alone is faster where cores share caches, memory or a clock.)
- model: milliseconds of one core an image, by engine: wall time of its calls by the number of cores, which it has all.
- roofline: images/s when every core does nothing else: cores / (decode + model).

Each engine is measured in a process of its own, and everything at its fastest of several repeats. It prints a table
and writes benchmarks/results/roofline.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import corpora
import numpy as np
from measuring import machine, run_command

from pipeline.model.handles import STANDIN_HANDLE
from pipeline.options.config import make_config
from pipeline.runs.run import model_of
from transforms.engines import BATCH_SIZE, PRECISIONS, load_engine
from transforms.images.decoding import decode_image

REPEATS = 7
IMAGES = 64  # a repeat
SIZE = (224, 224)
CORES = os.cpu_count() or 1
RESULTS = Path(__file__).parent / "results" / "roofline.json"


def fastest(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest repeat, by image."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds) * 1000 / IMAGES


def decode_ms(images: Path) -> float:
    """Core milliseconds an image of a corpus, in a thread a core."""
    files = [image.read_bytes() for image in sorted(images.iterdir())]
    data = [files[index % len(files)] for index in range(IMAGES)]
    with ThreadPoolExecutor(CORES) as threads:
        return CORES * fastest(
            lambda: list(threads.map(lambda image: decode_image(image, SIZE, "squash", 1 << 30), data))
        )


def model_ms(engine: str, precision: str, images: Path) -> float:
    """Core milliseconds an image of an engine that has all cores; int8 is calibrated on `images`."""
    given = {"input": str(images), "output": str(corpora.folder() / "roofline"), "model": STANDIN_HANDLE}
    config = make_config({**given, "engine": engine, "precision": precision}, [])
    model = model_of(config, here=True)
    size = BATCH_SIZE
    embed = load_engine(engine, Path(model.artifact).read_bytes(), size, CORES, precision)
    batch = np.random.default_rng(0).integers(0, 256, (size, *model.input_size, 3), np.uint8)
    embed(batch)
    return CORES * fastest(lambda: [embed(batch) for _ in range(IMAGES // size)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="decode a tenth of the corpora")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    share = 10 if options.quick else 1
    images = {name: corpora.corpus(name, count // share) for name, count in corpora.COUNTS.items()}
    if options.one:
        engine, precision = options.one
        print(model_ms(engine, precision, images["small"]))
        return
    decode = {name: decode_ms(folder) for name, folder in images.items()}
    print("decode, core ms an image:", ", ".join(f"{name} {ms:.1f}" for name, ms in decode.items()))
    print(f"{'':<18} {'model, core ms':>15}", *(f"{name + ', images/s':>18}" for name in decode))
    engines = {}
    for engine, precision in ((engine, precision) for engine, of in PRECISIONS.items() for precision in of):
        command = [sys.executable, *sys.argv, "--one", engine, precision]
        try:
            ms = float(run_command(command, os.environ, Path.cwd()).last_line)
        except RuntimeError as e:  # as with a precision that this processor has no instructions for
            print(f"{engine + ' ' + precision:<18} left out: {str(e).strip().splitlines()[-1]}", flush=True)
            continue
        roof = {name: CORES * 1000 / (ms + decoding) for name, decoding in decode.items()}
        print(f"{engine + ' ' + precision:<18} {ms:15.2f}", *(f"{rate:18.0f}" for rate in roof.values()), flush=True)
        engines[f"{engine} {precision}"] = {"model_core_ms": ms, "images_per_second": roof}
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"machine": machine(), "decode_core_ms": decode, "engines": engines}
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
