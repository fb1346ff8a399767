"""Runs of vectors that were never embedded, published as runs are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from transforms.elements import DeadLetter, ImageInfo, ImageObject
from transforms.encoding import encode_examples
from transforms.publishing import PublishRun
from transforms.records import layout
from transforms.records.tfrecord import frame
from transforms.writing import Spool, dead_letter_line

PREPROCESSING = {"version": 1, "resize": "squash"}
ATTEMPT = "a" * 32


def publish(
    output: Path,
    number: int,
    uris: Sequence[str],
    vectors: np.ndarray,
    *,
    version: str = "1",
    dead: Sequence[DeadLetter] = (),
    **generation: Any,
) -> str:
    """Publishes the run number so-and-so of an output, of float32 [len(uris), features]; gives its id."""
    run_id = f"night-{number}"
    staging = output / ".staging" / run_id / ATTEMPT
    staging.mkdir(parents=True)
    made = {"model": "0" * 64, "preprocessing": PREPROCESSING, **generation}
    (staging / layout.ATTEMPT_NOTE).write_text(json.dumps({"identity": {}, "generation": made}))
    staged = []
    if len(uris):
        spool = Spool("features", str(staging))
        sources = [ImageObject(uri, 1000 * (1 + i), version) for i, uri in enumerate(uris)]
        infos = [ImageInfo(source, "JPEG", "0" * 64, 40, 30) for source in sources]
        for source, record in zip(sources, encode_examples(infos, vectors), strict=True):
            spool.add([frame(record)], [source])
        staged.append(spool.stage())
    if dead:
        spool = Spool("dead_letters", str(staging))
        for letter in dead:
            spool.add([dead_letter_line(letter)], [letter.source], letter)
        staged.append(spool.stage())
    time = f"2026-01-{number:02}T00:00:00"
    head = {
        "schema_version": 1, "run_id": run_id, "started": f"{time}Z", "as_of": f"{time}.000000Z", "identity": {},
        "generation": made, "preprocessing": made["preprocessing"], "compression": "none", "columns": [],
        "model": {"handle": "none", "digest": made["model"], "engine": "litert", "precision": "f32",
                  "feature_dim": vectors.shape[1]},
    }  # fmt: skip
    publishing = PublishRun(str(output), run_id, "none", 1.0, head, ATTEMPT)
    images = len(uris) + len(dead)
    plan = publishing._plan(None, staged, {"embed": images, "selected": images})
    publishing._finish(None, plan, [publishing._publish_file(move) for move in publishing._moves(plan)])
    return run_id
