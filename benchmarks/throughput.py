"""Throughput: this pipeline beside what else turns a folder of images into TFRecords of vectors.

Every system is a program of systems/, run as a command of its own, in turns, over the same images with the same
module, and must write a record for every image. Of the images in tars some systems are left out, most of which cannot
read them. All find the images in the system's cache: they are read before each command, since a virtual machine may
have lost them. It may have given memory back, too, which whoever comes next waits for: each round begins with another
system. All is measured from outside, for all in the same way:

- seconds: of the whole command over all images of a corpus, at its fastest, and at its slowest.
- images/s: of steady work. The command runs over the first half of the corpus, too; this is the images of the other
  half by the seconds that they added, to the fastest of either: other work only slows a command, as does a virtual
  machine that has both of its cores share one for a while. So it has nothing of the start and the end of a command in
  it, and no system gains by doing its work in another order. min and max are of the pairs of a round.
- peak MB: of all processes of the command together (proportional set sizes).
- cosine: the mean, over all images, of its vectors to those of the first system: that all do the same work.
- roof: of ours, images/s by those of the roofline (`roofline.py`), which is measured between the two commands of each
  round, and is of the medians of its repeats: other work on the machine meets all three.
- real: the mean cosine of its vectors to the untouched module's, of trained weights, as a run of ours measures it at
  launch: what a precision costs. With the SavedModel that EMBED_IMAGES_REAL_MODULE names, such as
  https://tfhub.dev/google/imagenet/mobilenet_v2_130_224/feature_vector/4; the stand-in's weights are random.

Before, each system of ours runs once unmeasured, and keeps what it made of the module in the cache. `--quick` takes a
tenth of the images, one round, no halves and no trained weights, so it has no images/s and no real.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import corpora
import numpy as np
import roofline
from chart import bar_chart
from measuring import Cost, machine, run_command
from written import mean_cosine, read_vectors

from pipeline.model.handles import STANDIN_HANDLE, resolve

HERE = Path(__file__).parent
ROOT = HERE.parent
WORK = corpora.folder() / "work"
PEERS = corpora.folder() / "peers" / "bin" / "python"  # of the virtualenv of peers-requirements.txt
FEATURES = 1664


class System(NamedTuple):
    """A program of systems/ and its arguments; `python` is what it runs in."""

    file: str
    arguments: tuple[str, ...] = ()
    python: str = sys.executable

    @property
    def ours(self) -> bool:
        return self.file == "ours.py"

    @property
    def engine(self) -> tuple[str, ...]:
        """Its engine and precision; none of a system that is not ours, or does not resize as `roofline.py` does."""
        return tuple(text.partition("=")[2] for text in self.arguments) if len(self.arguments) == 2 else ()


SYSTEMS = {
    "ours: litert f32": System("ours.py", ("--engine=litert", "--precision=f32")),
    "ours: litert f32 simd": System("ours.py", ("--engine=litert", "--precision=f32", "--resize=squash_simd")),
    "ours: litert int8": System("ours.py", ("--engine=litert", "--precision=int8")),
    "ours: openvino f32": System("ours.py", ("--engine=openvino", "--precision=f32")),
    "ours: openvino bf16": System("ours.py", ("--engine=openvino", "--precision=bf16")),
    "ours: tensorflow f32": System("ours.py", ("--engine=tensorflow", "--precision=f32")),
    "ours: tensorflow bf16": System("ours.py", ("--engine=tensorflow", "--precision=bf16")),
    "Beam RunInference": System("beam_stock.py"),
    "tf.data": System("tf_data.py"),
    "Ray Data": System("ray_data.py", python=str(PEERS)),
    "Daft": System("daft_udf.py", python=str(PEERS)),
    "PySpark": System("pyspark_udf.py", python=str(PEERS)),
}
ON_TARS = ("ours: litert f32", "ours: litert int8", "Beam RunInference", "Ray Data")
CORPORA = {
    "small": lambda share: corpora.corpus("small", corpora.COUNTS["small"] // share),
    "large": lambda share: corpora.corpus("large", corpora.COUNTS["large"] // share),
    "tars": lambda share: corpora.tars(corpora.COUNTS["small"] // share),
}


@dataclass
class Measured:
    """Of one system and corpus, a value a round.

    Attributes:
        vectors: by file name, of the last round.
        last_line: what the system said last, in the last round.
        real_parity: see `real_parity`; empty where there are no trained weights.
    """

    seconds: list[float] = field(default_factory=list)
    half_seconds: list[float] = field(default_factory=list)
    roofs: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)
    last_line: dict[str, Any] = field(default_factory=dict)
    real_parity: dict[str, Any] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)


def run_system(name: str, images: Path, model: Path) -> tuple[Cost, dict[str, np.ndarray]]:
    """What the command cost, and its vectors by file name.

    Raises:
        RuntimeError: it failed, or a vector is missing or of another length.
    """
    system = SYSTEMS[name]
    output = output_of(name) / images.name
    leftover = output / "runs" if system.ours else output  # beside our runs is what they share
    shutil.rmtree(leftover, ignore_errors=True)
    cost = command_of(name, images, model, output)
    print(f"{name}, {images.name}: {cost.seconds:.1f} s", file=sys.stderr, flush=True)
    vectors = read_vectors(output)
    shutil.rmtree(leftover)
    names = corpora.names_in(images)
    if vectors.keys() != names or any(vector.shape != (FEATURES,) for vector in vectors.values()):
        raise RuntimeError(f"{name} wrote {len(vectors)} vectors of {len(names)} images, or some of another length")
    return cost, vectors


def output_of(name: str) -> Path:
    return WORK / name.replace(": ", "-").replace(" ", "-")


def command_of(name: str, images: Path, model: Path, output: Path) -> Cost:
    """Runs a system's program, over images that are in the system's cache."""
    system = SYSTEMS[name]
    output.parent.mkdir(parents=True, exist_ok=True)
    command = [system.python, str(HERE / "systems" / system.file), *system.arguments]
    command += ["--images", str(images), "--model", str(model), "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if system.ours else "", "TF_CPP_MIN_LOG_LEVEL": "2"}
    for image in images.iterdir():
        image.read_bytes()
    return run_command(command, environment, output.parent)


def real_parity(name: str, images: Path, model: Path) -> dict[str, Any]:
    """What a run of ours with trained weights says of its vectors; see `pipeline.model.fidelity`."""
    output = output_of(name) / "real"
    shutil.rmtree(output, ignore_errors=True)
    parity: dict[str, Any] = json.loads(command_of(name, images, model, output).last_line)["parity"]
    shutil.rmtree(output)
    return parity


def measure(name: str, images: Path, model: Path, measured: Measured, halves: bool) -> None:
    """A round of one system over one corpus."""
    cost, measured.vectors = run_system(name, images, model)
    measured.seconds.append(cost.seconds)
    measured.peak_mb.append(cost.peak_mb)
    measured.last_line = json.loads(cost.last_line)
    if halves:
        if engine := SYSTEMS[name].engine:
            measured.roofs.append(roof(engine, images))
        measured.half_seconds.append(run_system(name, half_of(images), model)[0].seconds)


def roof(engine: Sequence[str], images: Path) -> float:
    """images/s of the roofline at this moment."""
    corpus = "large" if images.name.startswith("large") else "small"  # which the tars hold
    decode, model = (statistics.median(roofline.measured(*what)) for what in ([corpus], engine))
    return roofline.images_per_second(decode, model)


def half_of(images: Path) -> Path:
    return corpora.first_of(images, len(list(images.iterdir())) // 2)


def summary(measured: Measured, reference: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """A system's entry of the results."""
    images = len(measured.vectors)
    added = images - images // 2
    rates = [added / (whole - half) for whole, half in zip(measured.seconds, measured.half_seconds, strict=False)]
    result: dict[str, Any] = {
        "images": images,
        "seconds": measured.seconds,
        "half_seconds": measured.half_seconds,
        "peak_mb": max(measured.peak_mb),
        "mean_cosine": mean_cosine(reference, measured.vectors),
        **{key: value for key, value in measured.last_line.items() if key in ("versions", "parity")},
    }
    if measured.real_parity:
        result["real_parity"] = measured.real_parity
    if rates:
        fastest = added / (min(measured.seconds) - min(measured.half_seconds))
        result["images_per_second"] = {"fastest": fastest, "min": min(rates), "max": max(rates)}
    if measured.roofs:
        shares = [rate / most for rate, most in zip(rates, measured.roofs, strict=True)]
        result["of_roofline"] = {"median": statistics.median(shares), "min": min(shares), "max": max(shares)}
    return result


def print_table(name: str, systems: Mapping[str, Mapping[str, Any]]) -> None:
    images = next(iter(systems.values()))["images"]
    print(f"\n{name}: {images:,} images")
    print(f"{'':<22} {'images/s':>8} {'min':>7} {'max':>7} {'seconds':>8} {'max':>7}", end="")
    print(f" {'peak MB':>8} {'cosine':>8} {'roof':>5} {'real':>8}")
    for system, entry in systems.items():
        rates = "".join(f" {value:7.1f}" for value in entry.get("images_per_second", {}).values()) or " " * 24
        seconds = [min(entry["seconds"]), max(entry["seconds"])]
        print(f"{system:<22} {rates} ", *(f"{value:7.1f}" for value in seconds), end="")
        real = f"{entry['real_parity']['mean_cosine']:.6f}" if "real_parity" in entry else ""
        share = f"{entry['of_roofline']['median']:.2f}" if "of_roofline" in entry else ""
        print(f" {entry['peak_mb']:8.0f} {entry['mean_cosine']:.6f} {share:>5} {real}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="SYSTEM")
    parser.add_argument("--corpora", nargs="+", choices=CORPORA, default=list(CORPORA))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    share, rounds = (10, 1) if options.quick else (1, options.rounds)
    model = resolve(STANDIN_HANDLE)
    images = {name: CORPORA[name](share) for name in options.corpora}
    measured = {
        name: {system: Measured() for system in options.systems if name != "tars" or system in ON_TARS}
        for name in images
    }
    real_module = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    failed: dict[str, str] = {}

    def tried(work: Callable[[], object], system: str) -> None:
        """Does it unless it fails, as with a precision that this processor has no instructions for."""
        if system not in failed:
            try:
                work()
            except RuntimeError as e:
                failed[system] = str(e)
                print(f"{system} is left out: {e}", file=sys.stderr)

    def prepare(system: str, folder: Path, entry: Measured, told: bool) -> None:
        """Has a system of ours make of the module what it keeps; and, when that is `told`, its parity."""
        if real_module and told:
            entry.real_parity = real_parity(system, half_of(folder), Path(real_module))
        run_system(system, folder, model)
        if not options.quick:
            run_system(system, half_of(folder), model)

    for number, (name, folder) in enumerate(images.items()):
        for system, entry in measured[name].items():
            if SYSTEMS[system].ours:
                tried(partial(prepare, system, folder, entry, number == 0 and not options.quick), system)
    for number in range(1, rounds + 1):
        for name, folder in images.items():
            systems = deque(measured[name].items())
            systems.rotate(-(len(systems) * (number - 1) // rounds))
            for system, entry in systems:
                tried(partial(measure, system, folder, model, entry, halves=not options.quick), system)
        report(
            {name: without(of_corpus, failed) for name, of_corpus in measured.items()}, number, failed, options.quick
        )


def without(measured: Mapping[str, Measured], failed: Mapping[str, str]) -> dict[str, Measured]:
    return {system: entry for system, entry in measured.items() if system not in failed}


def report(measured: Mapping[str, Mapping[str, Measured]], rounds: int, failed: Mapping[str, str], quick: bool) -> None:
    """Prints and writes what was measured up to now; after each round, since all of them take long."""
    results = {
        name: {system: summary(entry, next(iter(of_corpus.values())).vectors) for system, entry in of_corpus.items()}
        for name, of_corpus in measured.items()
    }
    for name, systems in results.items():
        print_table(name, systems)
    content = {"machine": machine(), "rounds": rounds, "failed": failed, "corpora": results}
    target = HERE / "results" / ("throughput-quick.json" if quick else "throughput.json")
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(content, indent=2) + "\n")
    if not quick:
        charts = {
            f"{name} images, images/s": {key: entry["images_per_second"]["fastest"] for key, entry in systems.items()}
            for name, systems in results.items()
        }
        (ROOT / "docs" / "throughput.svg").write_text(bar_chart(charts))


if __name__ == "__main__":
    main()
