"""Where the core-milliseconds of one image go: each stage alone, and a whole run beside their sum.

CPU time, user and system, of this process and all its threads, so that waiting does not count. What comes after
inference is measured through Beam, against the same pipeline without it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import corpora
import numpy as np

from pipeline.model.handles import STANDIN_HANDLE
from pipeline.model.prepare import prepare_model
from pipeline.options.beam import LOCAL_RUNNER
from pipeline.options.config import make_config
from pipeline.runs.run import run
from transforms.elements import EmbeddedBatch, ImageInfo, ImageObject
from transforms.embedding import check_vectors
from transforms.encoding import EncodeExamples
from transforms.engines import BATCH_SIZE, load_engine
from transforms.images.decoding import decode_image
from transforms.writing import WriteShards

RESULTS = Path(__file__).parent / "results" / "stages.json"
RECORDS = 20_000
FEATURES = 1664


def core_milliseconds(work: Callable[[], object], count: int) -> float:
    started = time.process_time()
    work()
    return (time.process_time() - started) * 1000 / count


def records(count: int) -> Iterator[EmbeddedBatch]:
    """What comes out of RunInference."""
    vectors = np.random.default_rng(0).normal(size=(BATCH_SIZE, FEATURES)).astype(np.float32)
    for first in range(0, count, BATCH_SIZE):
        sources = [
            ImageObject(f"/images/{i:09}.jpg", 60_000, f"60000-{i}", 1.7e9) for i in range(first, first + BATCH_SIZE)
        ]
        yield EmbeddedBatch([ImageInfo(source, "JPEG", "0" * 64, 500, 375) for source in sources], vectors)


def through_beam(transform: beam.PTransform[Any, Any] | None) -> None:
    """Makes the records within the pipeline, in one stage with what takes them."""
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        made = pipeline | beam.Create([RECORDS]) | "Make" >> beam.FlatMap(records)
        _ = made | (transform or beam.Map(lambda record: None))


class AfterInference(beam.PTransform[Any, Any]):
    def __init__(self, staging: str):
        super().__init__()
        self._staging = staging

    def expand(self, predicted: Any) -> Any:
        embedded, _ = predicted | beam.FlatMap(check_vectors).with_outputs("failed", main="embedded")
        return embedded | EncodeExamples() | WriteShards(self._staging, 256 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    count = options.images
    folder = corpora.corpus("small", count)
    names = sorted(folder.iterdir())
    model = prepare_model(STANDIN_HANDLE, "litert")
    batch_size = BATCH_SIZE
    engine = load_engine(model.engine, Path(model.artifact).read_bytes(), batch_size)
    pixels = np.zeros((batch_size, *model.input_size, 3), np.uint8)
    engine(pixels)
    encoded: list[bytes] = []
    scratch = tempfile.mkdtemp()
    given = {"input": str(folder), "output": f"{scratch}/output", "model": STANDIN_HANDLE, "engine": "litert"}
    run(make_config({**given, "run_id": "warm"}, []))

    stages = {
        "read": core_milliseconds(lambda: encoded.extend(name.read_bytes() for name in names), count),
        "decode and resize": core_milliseconds(
            lambda: [decode_image(data, model.input_size, "squash", 10**8) for data in encoded], count
        ),
        "sha256": core_milliseconds(lambda: [hashlib.sha256(data).hexdigest() for data in encoded], count),
        "model, litert f32": core_milliseconds(lambda: [engine(pixels) for _ in range(count // batch_size)], count),
    }
    empty = core_milliseconds(lambda: through_beam(None), RECORDS)
    stages["check, encode, write"] = core_milliseconds(lambda: through_beam(AfterInference(scratch)), RECORDS) - empty
    whole = core_milliseconds(lambda: run(make_config({**given, "run_id": "whole"}, [])), count)
    shutil.rmtree(scratch)

    total = sum(stages.values())
    for name, milliseconds in {**stages, "sum": total, "a whole run": whole}.items():
        print(f"{name:<24} {milliseconds:8.3f} core-ms an image  {milliseconds / whole:6.1%} of the run")
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"images": count, "cores": os.cpu_count(), "core_milliseconds": {**stages, "sum": total, "run": whole}}
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
