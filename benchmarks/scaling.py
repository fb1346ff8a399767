"""Cost an image of all but the model: listing, selecting, loading, writing, ledgers, publishing.

The run is the real one, over 1,000, 10,000 and 100,000 images of 8x8 pixels, each in a process of its own. Only the
engine is another: it answers zeros, vectors of the real length. What an image costs must not grow with their number.
`make bench-scaling` runs it; it prints a table and writes benchmarks/results/scaling.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import corpora
import numpy as np
from measuring import machine, run_command
from PIL import Image

import pipeline.model
import transforms.embedding
from pipeline.cache import cached
from pipeline.config import make_config
from pipeline.corpus import encode
from pipeline.model import FeatureModel
from pipeline.run import run

COUNTS = (1_000, 10_000, 100_000)
PER_FOLDER = 1_000
SIDE, FEATURES = 8, 1664
PHASES = ("list", "embed", "publish")
RESULTS = Path(__file__).parent / "results" / "scaling.json"


def tiny_images(count: int) -> Path:
    """A folder of folders of JPEGs, links to one file a folder."""
    data = encode(Image.new("RGB", (SIDE, SIDE), "teal"), "JPEG")

    def build(root: Path) -> None:
        for index in range(count):
            folder = root / f"{index // PER_FOLDER:04}"
            image = folder / f"{index:07}.jpg"
            if index % PER_FOLDER == 0:
                folder.mkdir(parents=True)
                first = image
                image.write_bytes(data)
            else:
                os.link(first, image)

    return cached(f"benchmarks/tiny-{count}", build)


def without_model() -> None:
    """Puts in this process an engine of zeros in the place of the model's."""

    def zeros(name: str, artifact: bytes, batch_size: int, *_: object, **__: object) -> object:
        answer = np.zeros((batch_size, FEATURES), np.float32)
        return lambda pixels: answer

    def model(handle: str, *_: object, **__: object) -> FeatureModel:
        return FeatureModel(
            handle=handle,
            digest="0" * 64,
            engine="litert",
            precision="f32",
            input_size=(SIDE, SIDE),
            feature_dim=FEATURES,
            artifact_sha256="0" * 64,
            parity={"count": 0, "mean_cosine": 1.0, "min_cosine": 1.0},
            artifact=os.devnull,
            saved_model="",
        )

    transforms.embedding.load_engine = zeros  # type: ignore[assignment,attr-defined]
    pipeline.model.prepare_model = model


def run_one(count: int) -> None:
    """Prints the seconds of the phases as JSON."""
    without_model()
    output = tempfile.mkdtemp(dir=corpora.folder())
    try:
        report = run(make_config({"input": str(tiny_images(count)), "output": output}, []))
        if report is None or report.manifest["counts"]["embedded"] != count:
            raise RuntimeError(f"the run did not embed {count} images")
    finally:
        shutil.rmtree(output)
    print(json.dumps(report.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one)
        return
    results = []
    print(
        f"{'images':>9} {'list':>9} {'embed':>9} {'publish':>9} {'all':>9}  ms an image {'command s':>9} {'peak MB':>8}"
    )
    for count in options.counts:
        tiny_images(count)
        cost = run_command([sys.executable, __file__, "--one", str(count)], os.environ, Path.cwd())
        seconds = json.loads(cost.last_line)
        each = [seconds[phase] / count * 1000 for phase in PHASES]
        print(f"{count:9,}", *(f"{ms:9.3f}" for ms in [*each, sum(each)]), " " * 12, end="")
        print(f" {cost.seconds:9.1f} {cost.peak_mb:8.0f}", flush=True)
        entry = {"images": count, "ms_an_image": dict(zip(PHASES, each, strict=True)), "seconds": seconds}
        results.append({**entry, "command_seconds": cost.seconds, "peak_mb": cost.peak_mb})
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "runs": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
