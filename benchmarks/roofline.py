"""The roofline: what these cores could do if nothing but decoding and the model cost anything.

- decode: milliseconds of one core an image, of `decode_image`, by corpus: wall time by the number of cores, all of
  which decode at once, as in a run. (One alone is faster where cores share caches, memory or a clock.)
- model: milliseconds of one core an image, by engine: wall time of its calls by the number of cores, which it has all.
- roofline: images/s when every core does nothing else: cores / (decode + model).

Each is measured in a process of its own, at its fastest of several repeats. It prints a table and writes
benchmarks/results/roofline.json. (`throughput.py` measures them again beside each run, and takes the medians.)
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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


def repeats(work: Callable[[], object]) -> list[float]:
    """Milliseconds of each repeat, by image."""
    found = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        found.append((time.perf_counter() - started) * 1000 / IMAGES)
    return found


def fastest(work: Callable[[], object]) -> float:
    """Milliseconds of the fastest repeat, by image."""
    return min(repeats(work))


def measured(*what: str) -> list[float]:
    """Core milliseconds an image, of each repeat: of decoding a corpus, or of an engine in a precision.

    Raises:
        RuntimeError: it failed, as with a precision that this processor has no instructions for.
    """
    command = [sys.executable, str(Path(__file__)), "--one", *what]
    found: list[float] = json.loads(run_command(command, os.environ, Path.cwd()).last_line)
    return found


def images_per_second(decode: float, model: float) -> float:
    """The roofline, of core milliseconds an image."""
    return CORES * 1000 / (decode + model)


def decode_ms(images: Path) -> list[float]:
    """Of a corpus, in a thread a core."""
    files = [image.read_bytes() for image in sorted(images.iterdir())]
    data = [files[index % len(files)] for index in range(IMAGES)]
    with ThreadPoolExecutor(CORES) as threads:
        work = partial(_decode_all, threads, data)
        return [CORES * ms for ms in repeats(work)]


def _decode_all(threads: ThreadPoolExecutor, data: Sequence[bytes]) -> None:
    list(threads.map(lambda image: decode_image(image, SIZE, "squash", 1 << 30), data))


def model_ms(engine: str, precision: str, images: Path) -> list[float]:
    """Of an engine that has all cores; int8 is calibrated on `images`."""
    given = {"input": str(images), "output": str(corpora.folder() / "roofline"), "model": STANDIN_HANDLE}
    config = make_config({**given, "engine": engine, "precision": precision}, [])
    model = model_of(config, here=True)
    size = BATCH_SIZE
    embed = load_engine(engine, Path(model.artifact).read_bytes(), size, CORES, precision)
    batch = np.random.default_rng(0).integers(0, 256, (size, *model.input_size, 3), np.uint8)
    embed(batch)
    return [CORES * ms for ms in repeats(lambda: [embed(batch) for _ in range(IMAGES // size)])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    images = {name: corpora.corpus(name, count) for name, count in corpora.COUNTS.items()}
    if options.one:
        name, *precision = options.one
        print(json.dumps(model_ms(name, *precision, images["small"]) if precision else decode_ms(images[name])))
        return
    decode = {name: min(measured(name)) for name in images}
    print("decode, core ms an image:", ", ".join(f"{name} {ms:.1f}" for name, ms in decode.items()))
    print(f"{'':<18} {'model, core ms':>15}", *(f"{name + ', images/s':>18}" for name in decode))
    engines = {}
    for engine, precision in ((engine, precision) for engine, of in PRECISIONS.items() for precision in of):
        try:
            ms = min(measured(engine, precision))
        except RuntimeError as e:
            print(f"{engine + ' ' + precision:<18} left out: {str(e).strip().splitlines()[-1]}", flush=True)
            continue
        roof = {name: images_per_second(decoding, ms) for name, decoding in decode.items()}
        print(f"{engine + ' ' + precision:<18} {ms:15.2f}", *(f"{rate:18.0f}" for rate in roof.values()), flush=True)
        engines[f"{engine} {precision}"] = {"model_core_ms": ms, "images_per_second": roof}
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"machine": machine(), "decode_core_ms": decode, "engines": engines}
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
