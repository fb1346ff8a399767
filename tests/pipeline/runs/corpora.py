"""One corpus in all its forms as the input of one run, and what is to come of each form."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.options.config import make_config
from pipeline.outputs.dataset import read_dead_letters, read_ledger, read_shard
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from pipeline.runs.running import RunReport
from tests.pipeline.runs import forms
from tests.pipeline.runs.forms import BROKEN, FORMS, Photo
from tests.reading import run_vectors
from transforms.inputs.containers.naming import container_of

OPTIONS: Mapping[str, Any] = {"columns": "cls,caption", "label_from": "folder"}
FOLDER = "images"
LOOSE = "loose"


class Told(NamedTuple):
    """What a record or a dead letter says of an image.

    Attributes:
        outcome: the bytes of the vector; of a dead letter, its stage and error.
        digest: SHA-256 of the encoded image; "" in a dead letter.
        label, caption, folder: columns.
    """

    outcome: bytes
    digest: str
    label: int | None
    caption: str | None
    folder: str | None


@dataclass(frozen=True)
class Corpus:
    """Photos, of which number `BROKEN` is no picture, in every form.

    Attributes:
        root: the folder that holds all forms, called `FOLDER`.
        inputs: what a run is given.
        wanted: by form, what is to come out. The columns are those of the photos, the vectors those of a run over the
            images alone, as files.
    """

    photos: Sequence[Photo]
    root: Path
    inputs: list[str]
    wanted: Mapping[str, Counter[Told]]

    def check(self, report: RunReport) -> None:
        """Each form gave what is wanted, nothing is lost or doubled, and the output holds."""
        found: dict[str, Counter[Told]] = defaultdict(Counter)
        for uri, told in all_told(report):
            found[form_of(uri)][told] += 1
        assert found.keys() == self.wanted.keys()
        for form, wanted in self.wanted.items():
            lost, surplus = list(wanted - found[form]), list(found[form] - wanted)
            assert not lost + surplus, f"{form}: lost {lost}, surplus {surplus}"
        number, counts = len(self.wanted), {name: count for name, count in report.manifest["counts"].items() if count}
        assert counts.pop("new", counts["listed"]) == counts["listed"]  # told of incremental runs
        assert counts == {
            "listed": number * len(self.photos),
            "embedded": number * (len(self.photos) - 1),
            "failed": number,
            "failed_by_error": {"NotAnImage": number},
            "containers": number - 1,
        }, counts
        outcomes = Counter(row["outcome"] for row in ledger_rows(report))
        assert outcomes == {"embedded": counts["embedded"], "failed": number, "read": number - 1}, outcomes
        uris = {row["uri"] for row in ledger_rows(report)}
        assert len(uris) == outcomes.total()
        result = verify_output(report.folder.partition("/runs/")[0])
        assert result.holds, result.as_text()


def make_corpus(folder: Path, module: str, photos: Sequence[Photo]) -> Corpus:
    root = folder / FOLDER
    root.mkdir()
    made = [forms.loose(photos, root), *(write(photos, root) for write in FORMS.values())]
    plain = folder / "plain"
    plain.mkdir()
    for number, photo in enumerate(photos):
        (plain / f"{number}.jpg").write_bytes(photo.data)
    report = run(make_config({"input": str(plain), "output": str(folder / "plain-output"), "model": module}, []))
    assert report is not None
    vectors = {int(Path(uri).stem): vector for uri, vector in zip(*run_vectors(report.folder), strict=True)}
    assert vectors.keys() == set(range(len(photos))) - {BROKEN}
    return Corpus(
        photos,
        root,
        [path for paths in made for path in paths],
        {form: Counter(_wanted(photos, form, vectors)) for form in (LOOSE, *FORMS)},
    )


def _wanted(photos: Sequence[Photo], form: str, vectors: Mapping[int, np.ndarray]) -> Iterator[Told]:
    for number, photo in enumerate(photos):
        said = (None, None) if form == "zip" else (photo.label, photo.caption)
        within = FOLDER if form in ("tfrecord", "parquet") else photo.name.partition("/")[0]
        if number == BROKEN:
            yield Told(b"decode NotAnImage", "", *said, within)
        else:
            yield Told(vectors[number].tobytes(), hashlib.sha256(photo.data).hexdigest(), *said, within)


def form_of(uri: str) -> str:
    """The form that an image of a corpus is in."""
    container = container_of(uri)
    return "tgz" if container.endswith(".gz") else uri.partition("://")[0] if container else LOOSE


def all_told(report: RunReport) -> Iterator[tuple[str, Told]]:
    """What the records and the dead letters of a run say, by their uris."""
    for shard in report.manifest["shards"]:
        for batch in read_shard(f"{report.folder}/{shard['path']}"):
            for row in batch.to_pylist():
                (uri,), (digest,) = row["image/uri"], row["image/key/sha256"]
                (label,), (caption,), (folder,) = (
                    row.get(name) or [None] for name in ("cls", "caption", "image/class/text")
                )
                texts = (text and text.decode() for text in (caption, folder))
                vector = np.asarray(row["image/embedding"], np.float32).tobytes()
                yield uri.decode(), Told(vector, digest.decode(), label, *texts)
    for letter in dead_letters(report):
        columns = (letter.get("columns", {}).get(name) for name in ("cls", "caption", "image/class/text"))
        yield letter["uri"], Told(f"{letter['stage']} {letter['error']}".encode(), "", *columns)


def dead_letters(report: RunReport) -> list[dict[str, Any]]:
    return [
        letter
        for entry in report.manifest["dead_letters"]
        for letter in read_dead_letters(f"{report.folder}/{entry['path']}")
    ]


def ledger_rows(report: RunReport) -> list[dict[str, Any]]:
    return [
        row
        for entry in report.manifest["ledgers"]
        for row in read_ledger(f"{report.folder}/{entry['path']}").to_pylist()
    ]
