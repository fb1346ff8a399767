"""embed-images demo: a corpus of photos through the same code as `run`, and what came out of it."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.console.logs import logger
from pipeline.console.results import say
from pipeline.demo.corpus import BROKEN, PHOTOS, make_corpus
from pipeline.errors import RunError
from pipeline.model.fidelity import nearest_others
from pipeline.model.handles import STANDIN_HANDLE
from pipeline.options.config import make_config
from pipeline.outputs.features import load_features
from pipeline.report.page import write_report
from pipeline.report.report import make_report
from pipeline.runs.run import run
from pipeline.runs.summary import summary
from transforms.stores import storage

READING = """\
import tensorflow as tf
uri, embedding = tf.io.FixedLenFeature([], tf.string), tf.io.FixedLenFeature([{dim}], tf.float32)
spec = {{"image/uri": uri, "image/embedding": embedding}}
records = tf.data.TFRecordDataset(tf.io.gfile.glob("{pattern}"){compressed})
for record in records.map(lambda record: tf.io.parse_single_example(record, spec)).take(3):
    print(record["image/uri"].numpy().decode(), record["image/embedding"].numpy()[:4])"""


def demo(folder: str, model: str | None = None) -> None:
    """Makes `folder/images`, publishes a run to `folder/features`, draws `folder/report.html`, prints what came out.

    Raises:
        RunError, ModelError: as `run` does.
    """
    images = Path(folder) / "images"
    logger.info("corpus: variants of %d photos in %s", len(PHOTOS), images)
    try:
        make_corpus(images)
    except FileNotFoundError as e:
        raise RunError(str(e)) from None
    handle = model or STANDIN_HANDLE
    output = str(Path(folder) / "features")
    config = make_config({"input": str(images), "output": output, "model": handle}, [])
    report = run(config)
    if report is None:
        raise RunError(f"the run ended without publishing; see {output}")
    found = load_features(output, run_id=config.run_id)
    uris, vectors = found.uris, found.vectors
    groups = [posixpath.basename(posixpath.dirname(uri)) for uri in uris]
    recall = recall_at_1(vectors, groups)
    page = _write_report(output, Path(folder) / "report.html")
    say(f"\n{summary(report)}\n")
    say(f"Near-duplicate recall@1: {recall:.3f} (the nearest other image of {len(uris)} is of the same photo)")
    if handle == STANDIN_HANDLE:
        say("The stand-in module's weights are untrained: its vectors tell near duplicates apart, but mean nothing.")
    letters = storage.join(report.folder, "dead_letters-00000-of-00001.jsonl")
    say(f"What is wrong with the files in images/{BROKEN}: {letters}")
    say(f"What it looks like, failures, map and near duplicates: {page}")
    say("\nTo read the features by TensorFlow alone (shorter with this program's Python: docs/quickstart.md):\n")
    say(reading_lines(report.folder, report.manifest))


def _write_report(output: str, file: Path) -> str:
    """Where the page about the run is, or why there is none."""
    try:
        # By PCA, which takes no time; `embed-images report` takes UMAP where it is installed.
        write_report(make_report(output, projection="pca"), str(file))
    except RunError as e:
        return f"no page, {e}"
    return str(file)


def reading_lines(folder: str, manifest: Mapping[str, Any]) -> str:
    """The six lines of Python that read a run's features with tf.data."""
    pattern = storage.join(folder, "features-*")
    compressed = ', "GZIP"' if manifest["compression"] == "gzip" else ""
    return READING.format(pattern=pattern, dim=manifest["model"]["feature_dim"], compressed=compressed)


def recall_at_1(vectors: np.ndarray, groups: list[str]) -> float:
    """The share of vectors whose nearest other one, by cosine, is of the same group.

    Args:
        vectors: float32 [N, D], none of them zero.
        groups: N names.
    """
    names = np.array(groups)
    return float((names[nearest_others(vectors)] == names).mean())
