"""Cost an image of all but the model: listing, selecting, loading, writing, ledgers, publishing.

The run is the real one, over 1,000, 10,000 and 100,000 images of 8x8 pixels, each in a process of its own. Only the
engine is another: it answers zeros, vectors of the real length. What an image costs must not grow with their number.
Then a night without a change: an incremental run over the same images, which has to list them, to read their ledger
rows, and to leave all of them alone.
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

import pipeline.model.prepare
import transforms.embedding
from pipeline.demo.corpus import encode
from pipeline.model.cache import cached
from pipeline.model.feature_model import FeatureModel
from pipeline.options.config import make_config
from pipeline.runs.run import run

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

    def zeros(*_: object, **__: object) -> object:
        return lambda images: np.zeros((len(images), FEATURES), np.float32)

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

    transforms.embedding.load_engine = zeros  # type: ignore[assignment,attr-defined]  # the stage calls that name
    pipeline.model.prepare.prepare_model = model


def run_one(count: int, output: str, incremental: bool) -> None:
    """Prints the seconds of the phases as JSON."""
    without_model()
    given = {"input": str(tiny_images(count)), "output": output, "incremental": incremental}
    report = run(make_config(given, []))
    if report is None or report.manifest["counts"]["unchanged" if incremental else "embedded"] != count:
        raise RuntimeError(f"the run did not {'leave alone' if incremental else 'embed'} {count} images")
    print(json.dumps(report.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    parser.add_argument("--night", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.output, options.night)
        return
    results = []
    print(f"{'':>9} {'milliseconds an image':^39} {'command':^18} {'night':^18}")
    print(f"{'images':>9} {'list':>9} {'embed':>9} {'publish':>9} {'all':>9}", f" {'seconds':>9} {'peak MB':>8}" * 2)
    for count in options.counts:
        tiny_images(count)
        output = tempfile.mkdtemp(dir=corpora.folder())
        try:
            command = [sys.executable, __file__, "--one", str(count), "--output", output]
            cost = run_command(command, os.environ, Path.cwd())
            night = run_command([*command, "--night"], os.environ, Path.cwd())
        finally:
            shutil.rmtree(output)
        seconds = json.loads(cost.last_line)
        each = [seconds[phase] / count * 1000 for phase in PHASES]
        print(
            f"{count:9,}",
            *(f"{ms:9.3f}" for ms in [*each, sum(each)]),
            *(f" {each.seconds:9.1f} {each.peak_mb:8.0f}" for each in (cost, night)),
            flush=True,
        )
        entry = {"images": count, "ms_an_image": dict(zip(PHASES, each, strict=True)), "seconds": seconds}
        results.append({**entry, "command_seconds": cost.seconds, "peak_mb": cost.peak_mb})
        results[-1] |= {"night_seconds": night.seconds, "night_peak_mb": night.peak_mb}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "runs": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
