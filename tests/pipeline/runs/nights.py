"""A folder that changes from night to night, and a plain dictionary's idea of what an output should know of it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.options.config import CompactConfig, make_config
from pipeline.outputs.dataset import read_ledger
from pipeline.outputs.verify import verify_output
from pipeline.runs.compact import compact
from pipeline.runs.run import run
from tests.conftest import photo
from tests.reading import newest_vectors
from transforms.stores import reading, storage

REASONS = ("new", "changed", "retried", "repeated", "columns_changed")
PARTS = ("listed", "unchanged", "failed_before", "embedded", "failed", "deleted", *REASONS)


class Bucket:
    """A folder of images, and a plain dictionary's idea of what an output should know of it.

    Attributes:
        unreachable: names that fail to be fetched.
        known: by name, (version, outcome) as the last night that met the image left it.
        newest: by name, the number of the picture whose vector is the newest one.
        versions: by name, of that picture.
        gone: names with a vector whose file was found missing since.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True)
        self.unreachable: set[str] = set()
        self.known: dict[str, tuple[int, str]] = {}
        self.newest: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.gone: set[str] = set()
        self.pictures: dict[str, int | None] = {}
        self._clock = 1_700_000_000_000_000_000

    def put(self, name: str, picture: int | None) -> None:
        """Writes picture number `picture`, or what is no picture at all."""
        path = self.root / name
        if picture is None:
            path.write_bytes(b"\xff\xd8 no picture")
        else:
            photo(48, 40, picture).save(path, format="JPEG", quality=90)
        self.pictures[name] = picture
        self.touch(name)

    def touch(self, name: str) -> None:
        self._clock += 1_000_000_000
        os.utime(self.root / name, ns=(self._clock, self._clock))

    def delete(self, name: str) -> None:
        (self.root / name).unlink()
        del self.pictures[name]

    def expect_night(self, *, retry_dead_letters: bool = False) -> dict[str, int]:
        """Takes a night into the books; gives the counts that its run should have."""
        counts = dict.fromkeys(PARTS, 0)
        for name, picture in self.pictures.items():
            version = (self.root / name).stat().st_mtime_ns
            counts["listed"] += 1
            known, outcome = self.known.get(name, (0, "never"))
            if known == version and outcome == "embedded":
                counts["unchanged"] += 1
                continue
            if known == version and outcome == "broken" and not retry_dead_letters:
                counts["failed_before"] += 1
                continue
            # A version of 0 is that of an image that was gone, and no file has it.
            counts["new" if known == 0 else "retried" if known == version else "changed"] += 1
            outcome = "unreachable" if name in self.unreachable else "broken" if picture is None else "embedded"
            self.known[name] = (version, outcome)
            counts["embedded" if outcome == "embedded" else "failed"] += 1
            if outcome == "embedded":
                assert picture is not None
                self.newest[name] = picture
                self.versions[name] = version
                self.gone.discard(name)
        for name, (_, outcome) in list(self.known.items()):
            if name not in self.pictures and outcome != "deleted":
                counts["deleted"] += 1
                self.known[name] = (0, "deleted")
                self.gone.add(name)
        return counts

    def forget(self) -> None:
        """What is known when a compaction alone is left: the newest vectors of what is there."""
        self.newest = {name: picture for name, picture in self.newest.items() if name not in self.gone}
        self.known = {name: (self.versions[name], "embedded") for name in self.newest}
        self.gone = set()


class Nights:
    """Runs of one output over a `Bucket`, each checked in full."""

    def __init__(self, folder: Path, module: str, vector_of: Callable[[int], np.ndarray]):
        self.bucket = Bucket(folder / "images")
        self.output = folder / "output"
        self._module = module
        self._vector_of = vector_of
        self._number = 0

    def night(self, **options: Any) -> dict[str, Any]:
        self._number += 1
        expected = self.bucket.expect_night(retry_dead_letters=options.get("retry_dead_letters", False))
        given: dict[str, Any] = {"input": str(self.bucket.root), "output": str(self.output), "model": self._module}
        given |= {"incremental": True, "max_failure_rate": 1.0, "run_id": f"night-{self._number}", **options}
        with unreachable({str(self.bucket.root / name) for name in self.bucket.unreachable}):
            report = run(make_config(given, []))
        assert report is not None
        counts = report.manifest["counts"]
        assert {part: counts[part] for part in PARTS} == expected
        rows = [
            row
            for ledger in report.manifest["ledgers"]
            for row in read_ledger(storage.join(report.folder, ledger["path"])).to_pylist()
        ]
        assert len(rows) == expected["embedded"] + expected["failed"] + expected["deleted"]
        told = Counter(row["reason"] for row in rows if row["outcome"] != "deleted")
        assert told == Counter({reason: expected[reason] for reason in REASONS if expected[reason]})
        result = verify_output(str(self.output))
        assert result.holds, result.as_text()
        self.check_latest()
        return counts

    def check_latest(self) -> None:
        for keep_deleted in (False, True):
            uris, vectors = newest_vectors(str(self.output), keep_deleted=keep_deleted)
            found = {Path(uri).name: vector for uri, vector in zip(uris, vectors, strict=True)}
            assert len(found) == len(uris)
            wanted = {
                name: picture
                for name, picture in self.bucket.newest.items()
                if keep_deleted or name not in self.bucket.gone
            }
            assert found.keys() == wanted.keys()
            for name, picture in wanted.items():
                np.testing.assert_array_equal(found[name], self._vector_of(picture))


class unreachable:  # noqa: N801 -- reads as a word of the test
    """Within it, fetching these paths fails as a disk does that is gone for a while."""

    def __init__(self, paths: set[str]):
        self._paths = paths
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        read = reading.read_local

        def failing(image: Any, max_bytes: int) -> Any:
            if image.uri in self._paths:
                raise OSError(5, "Input/output error")
            return read(image, max_bytes)

        self._patch.setattr(reading, "read_local", failing)

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


def compact_nights(nights: Nights, run_id: str) -> Any:
    report = compact(CompactConfig(str(nights.output), run_id, 1 << 20, "none", {}))
    assert report is not None
    assert verify_output(str(nights.output)).holds
    return report
