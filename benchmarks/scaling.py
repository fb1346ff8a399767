"""Cost an image of all but the model: listing, selecting, loading, writing, ledgers, publishing.

The run is the real one, over images of 8x8 pixels as `tiny` makes them: loose; beside a manifest with a label and a
caption of 200 bytes each; in tars of 1,000; and as objects of a flat prefix of a stand-in of Cloud Storage, which
answers 20 ms after it was asked. Each run is a process of its own. Only the engine is another: it answers zeros,
vectors of the real length. What an image costs must not grow with their number.
Then a night without a change: an incremental run over the same images, which has to list them, to read their ledger
rows, and to leave all of them alone. And where there are columns, a night on which every caption has changed.
`make bench-scaling` runs it; it prints a table and writes benchmarks/results/scaling.json.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np

import pipeline.model.prepare
import transforms.embedding
from benchmarks import corpora, tiny
from benchmarks.fetch import free_port, store_options, wait_for
from benchmarks.measuring import Cost, machine, run_command
from pipeline.graph import UNITS_HERE, listing_of
from pipeline.model.feature_model import FeatureModel
from pipeline.options.beam import LOCAL_RUNNER
from pipeline.options.config import make_config
from pipeline.runs.launching import find_columns
from pipeline.runs.run import run
from transforms.engines.engine import Vectors
from transforms.listing import LISTED
from transforms.packing import PackByUnit
from transforms.records.blocks import Sighting

COUNTS = (1_000, 10_000, 100_000)
FEATURES = 1664
PHASES = ("list", "embed", "publish")
FIRST, NIGHT, RECAPTIONED = "first run", "night", "all captions changed"
LATENCY_MS = 20
RESULTS = Path(__file__).parent / "results" / "scaling.json"


class Corpus(NamedTuple):
    """Attributes:
    options: of a run over it.
    recaptioned: the inputs of a night on which every caption has changed; none where there are no columns.
    """

    options: Mapping[str, Any]
    recaptioned: Sequence[str] = ()


@contextmanager
def loose(count: int) -> Iterator[Corpus]:
    yield Corpus({"input": str(tiny.loose(count))})


@contextmanager
def columns(count: int) -> Iterator[Corpus]:
    first, second = ([str(tiny.loose(count)), str(tiny.captions(count, seed))] for seed in (0, 1))
    yield Corpus({"input": first, "columns": [tiny.COLUMNS]}, second)


@contextmanager
def tars(count: int) -> Iterator[Corpus]:
    yield Corpus({"input": f"{tiny.tars(count)}/*.tar"})


@contextmanager
def flat(count: int) -> Iterator[Corpus]:
    """Objects of one prefix, listed in ranges of names and asked for one by one."""
    port = free_port()
    own = ["--port", str(port), "--pattern", "numbers", "--objects", str(count), "--latency_ms", str(LATENCY_MS)]
    server = subprocess.Popen([sys.executable, "-m", "benchmarks.listing", *own])
    try:
        wait_for(port)
        yield Corpus({"input": "gs://bucket/flat/", "storage_options": store_options(port)})
    finally:
        server.terminate()
        server.wait()


FORMS: Mapping[str, Callable[[int], Any]] = {"loose": loose, "columns": columns, "tars": tars, "flat": flat}


class Zeros:
    """An engine of nothing."""

    def begin(self, images: Sequence[np.ndarray]) -> Vectors:
        done: Future[np.ndarray] = Future()
        done.set_result(np.zeros((len(images), FEATURES), np.float32))
        return done


def without_model() -> None:
    """Puts in this process an engine of zeros in the place of the model's."""

    with tempfile.NamedTemporaryFile(delete=False) as artifact:
        pass

    def model(handle: str, *_: object, **__: object) -> FeatureModel:
        return FeatureModel(
            handle=handle,
            digest="0" * 64,
            engine="litert",
            precision="f32",
            input_size=(tiny.SIDE, tiny.SIDE),
            feature_dim=FEATURES,
            artifact_sha256="0" * 64,
            parity={"count": 0, "mean_cosine": 1.0, "min_cosine": 1.0},
            artifact=artifact.name,
            saved_model="",
        )

    transforms.embedding.load_engine = lambda *_, **__: Zeros()  # type: ignore[assignment,attr-defined]  # the stage calls that name
    pipeline.model.prepare.prepare_model = model


def run_one(options: Mapping[str, Any], wanted: str, count: int) -> None:
    """Prints the seconds of the phases as JSON."""
    without_model()
    report = run(make_config(options, []))
    if report is None or report.manifest["counts"][wanted] != count:
        raise RuntimeError(f"of {count} images there are not as many {wanted}")
    print(json.dumps(report.seconds))


def bytes_a_row(options: Mapping[str, Any]) -> float:
    """Bytes that cross the one shuffle for an image that is listed, in blocks as the local runner gets them."""
    config = make_config({"output": os.devnull, **options}, [])
    with tempfile.NamedTemporaryFile() as total:
        path = Path(total.name)
        with beam.Pipeline(runner=LOCAL_RUNNER) as graph:
            listed = graph | beam.Create(list(config.input)) | listing_of(config, find_columns(config))
            blocks = listed[LISTED] | beam.Map(Sighting.listed).with_output_types(Sighting) | PackByUnit(UNITS_HERE)
            _ = (
                blocks
                | beam.MapTuple(lambda _, block: len(block))
                | beam.CombineGlobally(sum)
                | beam.Map(lambda size: path.write_text(str(size)))
            )
        return float(path.read_text())


def command(options: Mapping[str, Any], wanted: str, count: int) -> Cost:
    own = [sys.executable, "-m", "benchmarks.scaling", "--counts", str(count)]
    return run_command([*own, "--one", json.dumps(options), wanted], os.environ, Path.cwd())


def measure(corpus: Corpus, count: int) -> dict[str, Any]:
    """What a first run costs, and the nights after it."""
    output = tempfile.mkdtemp(dir=corpora.folder())
    options = {**corpus.options, "output": output}
    nightly = {**options, "incremental": True}
    try:
        first = command(options, "embedded", count)
        nights = {NIGHT: command(nightly, "unchanged", count)}
        if corpus.recaptioned:
            recaptioned = {**nightly, "input": corpus.recaptioned}
            nights[RECAPTIONED] = command(recaptioned, "columns_changed", count)
    finally:
        shutil.rmtree(output)
    seconds = json.loads(first.last_line)
    return {
        "images": count,
        "bytes_a_row": bytes_a_row(corpus.options) / count,
        "ms_an_image": {phase: seconds[phase] / count * 1000 for phase in PHASES},
        "costs": {
            name: {part: value for part, value in cost._asdict().items() if part != "last_line"}
            for name, cost in {FIRST: first, **nights}.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(json.loads(options.one[0]), options.one[1], options.counts[0])
        return
    results = []
    print(f"{'':>17} {'bytes':>6} {'milliseconds an image':^39} {FIRST:^26} {NIGHT:^26} {RECAPTIONED:^26}")
    print(f"{'images':>17} {'a row':>6}", *(f"{name:>9}" for name in (*PHASES, "all")), end=" ")
    print(f" {'seconds':>8} {'core s':>8} {'peak MB':>7}" * 3)
    for count in options.counts:
        for form in list(options.forms) * options.rounds:
            with FORMS[form](count) as corpus:
                result = measure(corpus, count)
            each = result["ms_an_image"].values()
            print(
                f"{form:<7} {count:9,} {result['bytes_a_row']:6.1f}",
                *(f"{ms:9.3f}" for ms in [*each, sum(each)]),
                *(
                    f" {cost['seconds']:8.1f} {cost['core_seconds']:8.1f} {cost['peak_mb']:7.0f}"
                    for cost in result["costs"].values()
                ),
                flush=True,
            )
            results.append({"form": form, **result})
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine(), "runs": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
