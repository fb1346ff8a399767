"""What one process gives where there are more cores than here: images/s by cores, until its one lock is busy.

The run is the real one, over images of 8x8, whose reading, decoding, counting, encoding and writing hold the
interpreter's lock about as long as those of larger ones do. What lets go of it elsewhere, the rest of a decode and the
model, is a sleep of its length: so many threads sleep at once as there would be cores. A sleep takes no core, so that
two cores show how the lock fares with 64; they do what is under the lock and hand it over, as one of 64 would.
`make bench-cores` prints a table and writes benchmarks/results/cores.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import transforms.embedding
import transforms.groups
import transforms.images.threads
from benchmarks import tiny
from benchmarks.measuring import machine, run_command
from benchmarks.scaling import FEATURES, without_model
from pipeline.options.config import make_config
from pipeline.runs.run import run
from transforms.engines.one_by_one import OneByOne

CORES = (2, 4, 8, 16, 32, 64)
# Of one core, as `make bench` measures them: a decode of 500x375, and the model in LiteRT's f32 and int8.
DECODE_MS = 2.0
MODEL_MS = {"f32": 12.0, "int8": 6.0, "none": 0.0}
SECONDS = 8.0  # of work
RESULTS = Path(__file__).parent / "results" / "cores.json"


class Cores:
    """So many, each of which does one thing at a time."""

    def __init__(self, count: int):
        self.count = count
        self._idle = threading.Semaphore(count)

    def work(self, seconds: float) -> None:
        if seconds:
            with self._idle:
                time.sleep(seconds)


def sleeping_engine(cores: Cores, seconds: float) -> OneByOne:
    """As LiteRT's: each image by itself, in as many threads as there are cores."""

    def embed(image: np.ndarray) -> np.ndarray:
        cores.work(seconds)
        return np.zeros((1, FEATURES), np.float32)

    return OneByOne([embed] * cores.count, "engine")


def run_one(cores: int, model_ms: float, images: int, more: dict[str, Any], beam_args: Sequence[str]) -> None:
    """Prints images/s from the first image selected to the last one written."""
    without_model()
    decode = transforms.groups.decode_image

    slept, at_work = threading.local(), Cores(cores)

    def decode_and_sleep(*given: Any) -> Any:
        image = decode(*given)
        at_work.work(DECODE_MS / 1000)
        slept.seconds = getattr(slept, "seconds", 0.0) + DECODE_MS / 1000
        return image

    def thread_time() -> float:
        """By which threads that decode know how large their images are."""
        return time.thread_time() + getattr(slept, "seconds", 0.0)

    transforms.groups.decode_image = decode_and_sleep  # type: ignore[attr-defined]
    transforms.images.threads.thread_time = thread_time
    transforms.embedding.load_engine = lambda *_: sleeping_engine(at_work, model_ms / 1000)  # type: ignore[attr-defined]
    output = tempfile.mkdtemp()
    try:
        given = {"input": str(tiny.loose(images)), "output": output, "threads": cores, **more}
        report = run(make_config(given, beam_args))
    finally:
        shutil.rmtree(output)
    if report is None or report.manifest["counts"]["embedded"] != images:
        raise RuntimeError("not all images were embedded")
    print(json.dumps(report.images_per_second))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cores", nargs="+", type=int, default=CORES)
    parser.add_argument("--models", nargs="+", choices=MODEL_MS, default=list(MODEL_MS))
    parser.add_argument("--options", type=json.loads, default={}, help="more options of the run, as JSON")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options, beam_args = parser.parse_known_args()
    if options.one:
        cores, ms, images = options.one
        run_one(int(cores), float(ms), int(images), options.options, beam_args)
        return
    rows = []
    print(f"{'cores':>5} {'model':>6} {'images/s':>9} {'ideal':>7} {'share':>6} {'core s':>7}")
    for model in options.models:
        for cores in options.cores:
            ideal = cores * 1000 / (DECODE_MS + MODEL_MS[model])
            images = round(min(ideal, 4000) * SECONDS, -3)
            command = [sys.executable, "-m", "benchmarks.cores", "--options", json.dumps(options.options), *beam_args]
            cost = run_command(
                [*command, "--one", str(cores), str(MODEL_MS[model]), str(int(images))], os.environ, Path.cwd()
            )
            rate = json.loads(cost.last_line)
            print(
                f"{cores:5} {model:>6} {rate:9.0f} {ideal:7.0f} {rate / ideal:6.2f} {cost.core_seconds:7.1f}",
                flush=True,
            )
            rows.append({"cores": cores, "model": model, "images_per_second": rate, "ideal": ideal, **cost._asdict()})
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
