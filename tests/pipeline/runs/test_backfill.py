"""Night after night over the same folder: what is embedded, recorded, left alone; and the newest view of it all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pipeline.errors import RunError
from pipeline.options.config import CompactConfig, make_config
from pipeline.outputs.dataset import load_features, read_ledger
from pipeline.outputs.latest import latest, load_latest
from pipeline.outputs.verify import verify_output
from pipeline.runs.compact import compact
from pipeline.runs.run import run
from tests.conftest import Run, photo
from transforms.stores import fetching, storage

PARTS = ("listed", "unchanged", "failed_before", "embedded", "failed", "deleted")


class Bucket:
    """A folder of images, and a plain dictionary's idea of what an output should know of it.

    Attributes:
        unreachable: names that fail to be fetched.
        known: by name, (version, outcome) as the last night that met the image left it.
        newest: by name, the number of the picture whose vector is the newest one.
        gone: names with a vector whose file was found missing since.
    """

    def __init__(self, root: Path):
        self.root = root
        root.mkdir(parents=True)
        self.unreachable: set[str] = set()
        self.known: dict[str, tuple[int, str]] = {}
        self.newest: dict[str, int] = {}
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
            outcome = "unreachable" if name in self.unreachable else "broken" if picture is None else "embedded"
            self.known[name] = (version, outcome)
            counts["embedded" if outcome == "embedded" else "failed"] += 1
            if outcome == "embedded":
                assert picture is not None
                self.newest[name] = picture
                self.gone.discard(name)
        for name, (_, outcome) in list(self.known.items()):
            if name not in self.pictures and outcome != "deleted":
                counts["deleted"] += 1
                self.known[name] = (0, "deleted")
                self.gone.add(name)
        return counts


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
        result = verify_output(str(self.output))
        assert result.holds, result.as_text()
        self.check_latest()
        return counts

    def check_latest(self) -> None:
        for drop_deleted in (False, True):
            uris, vectors = load_latest(str(self.output), drop_deleted=drop_deleted)
            found = {Path(uri).name: vector for uri, vector in zip(uris, vectors, strict=True)}
            assert len(found) == len(uris)
            wanted = {
                name: picture
                for name, picture in self.bucket.newest.items()
                if not (drop_deleted and name in self.bucket.gone)
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
        read = fetching._read_local

        def failing(image: Any) -> Any:
            if image.uri in self._paths:
                raise OSError(5, "Input/output error")
            return read(image)

        self._patch.setattr(fetching, "_read_local", failing)

    def __exit__(self, *_: object) -> None:
        self._patch.undo()


@pytest.fixture(scope="session")
def vector_of(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Callable[[int], np.ndarray]:
    """The vector of each of forty pictures, by a plain run over all of them."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "in").mkdir()
    for picture in range(40):
        photo(48, 40, picture).save(folder / "in" / f"{picture}.jpg", quality=90)
    report = run(make_config({"input": str(folder / "in"), "output": str(folder / "out"), "model": tiny_module}, []))
    assert report is not None
    vectors = {int(Path(uri).stem): vector for uri, vector in zip(*load_features(report.folder), strict=True)}
    return vectors.__getitem__


@pytest.fixture
def nights(tmp_path: Path, tiny_module: str, vector_of: Callable[[int], np.ndarray]) -> Nights:
    return Nights(tmp_path, tiny_module, vector_of)


def test_three_nights(nights: Nights) -> None:
    bucket = nights.bucket
    for i in range(10):
        bucket.put(f"{i}.jpg", i)
    bucket.put("broken.jpg", None)
    bucket.put("far.jpg", 30)
    bucket.unreachable = {"far.jpg"}
    assert nights.night()["embedded"] == 10

    for i in range(5):
        bucket.put(f"new {i}.jpg", 10 + i)
    for i in range(3):
        bucket.put(f"{i}.jpg", 20 + i)
    for i in (3, 4):
        bucket.delete(f"{i}.jpg")
    for i in (5, 6, 7, 8):  # of local files, the time is part of the version
        bucket.touch(f"{i}.jpg")
    bucket.unreachable = set()
    counts = nights.night()
    assert [counts[part] for part in PARTS] == [15, 1, 1, 13, 0, 2]

    bucket.put("broken.jpg", 31)
    bucket.put("3.jpg", 3)
    counts = nights.night()
    assert [counts[part] for part in PARTS] == [16, 14, 0, 2, 0, 0]

    assert nights.night()["embedded"] == 0  # and a night without a change


def test_dead_letters_are_tried_again_when_asked(nights: Nights) -> None:
    nights.bucket.put("good.jpg", 1)
    nights.bucket.put("broken.jpg", None)
    assert nights.night()["failed"] == 1
    assert nights.night()["failed_before"] == 1
    assert nights.night(retry_dead_letters=True)["failed"] == 1


class RandomNights(RuleBasedStateMachine):
    """What people do to a bucket by day, and nights over it."""

    make: Callable[[], Nights]

    @initialize()
    def start(self) -> None:
        self.nights = type(self).make()
        self.nights.bucket.put("first.jpg", 0)

    @rule(name=st.sampled_from("abcdef"), picture=st.one_of(st.none(), st.integers(0, 39)))
    def put(self, name: str, picture: int | None) -> None:
        self.nights.bucket.put(f"{name}.jpg", picture)

    @rule(name=st.sampled_from("abcdef"))
    def delete(self, name: str) -> None:
        if f"{name}.jpg" in self.nights.bucket.pictures:
            self.nights.bucket.delete(f"{name}.jpg")

    @rule(names=st.sets(st.sampled_from("abcdef")))
    def cut_off(self, names: set[str]) -> None:
        self.nights.bucket.unreachable = {f"{name}.jpg" for name in names}

    @rule(retry=st.booleans())
    def night(self, retry: bool) -> None:
        self.nights.night(retry_dead_letters=retry)

    @precondition(lambda self: self.nights.output.exists())
    @rule()
    def compact(self) -> None:
        compact_nights(self.nights, f"compacted-{len(os.listdir(self.nights.output / 'runs'))}")
        self.nights.check_latest()


def test_random_nights(tmp_path: Path, tiny_module: str, vector_of: Callable[[int], np.ndarray]) -> None:
    machines = iter(range(1000))

    class Machine(RandomNights):
        make = staticmethod(lambda: Nights(tmp_path / str(next(machines)), tiny_module, vector_of))

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=6, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


def compact_nights(nights: Nights, run_id: str) -> Any:
    report = compact(CompactConfig(str(nights.output), run_id, 1 << 20, "none", {}))
    assert report is not None
    assert verify_output(str(nights.output)).holds
    return report


def test_compacting_keeps_the_newest_view_and_what_nights_know(nights: Nights) -> None:
    bucket = nights.bucket
    for i in range(6):
        bucket.put(f"{i}.jpg", i)
    nights.night()
    bucket.put("0.jpg", 10)
    bucket.delete("1.jpg")
    nights.night()
    before = latest(str(nights.output), drop_deleted=True).select(["uri", "version"]).to_pylist()
    report = compact_nights(nights, "compacted")
    assert report.manifest["counts"]["embedded"] == 5
    after = latest(str(nights.output), drop_deleted=True)
    assert sorted(row["uri"] for row in before) == sorted(after["uri"].to_pylist())
    assert set(after["run_id"].to_pylist()) == {"compacted"}
    # The runs that were compacted are needed no more.
    for name in ("night-1", "night-2"):
        shutil.rmtree(nights.output / "runs" / name)
    del bucket.newest["1.jpg"]
    assert nights.night()["unchanged"] == 5


def test_vectors_of_two_models_are_not_mixed(images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), run_id="one")
    with pytest.raises(RunError, match=r"its newest run, one, has vectors that cannot be compared .*preprocessing"):
        run_pipeline(input=str(images), run_id="two", resize="slim_eval", incremental=True)
    report = run_pipeline(input=str(images), run_id="two", resize="slim_eval", incremental=True, new_model=True)
    assert report.manifest["counts"]["embedded"] == 12
    output = str(Path(report.folder).parents[1])
    assert set(latest(output)["run_id"].to_pylist()) == {"two"}
    # Back to the first: its runs count again.
    with pytest.raises(RunError, match="--new_model starts a new generation"):
        run_pipeline(input=str(images), run_id="three", incremental=True)
    report = run_pipeline(input=str(images), run_id="three", incremental=True, new_model=True)
    assert report.manifest["counts"]["unchanged"] == 12


def test_times_and_limits(images: Path, run_pipeline: Run) -> None:
    for number, path in enumerate(sorted(images.iterdir())):
        os.utime(path, (1_000_000_000 + number * 86_400,) * 2)  # from 2001-09-09T01:46:40Z on
    counts = run_pipeline(input=str(images), since="2001-09-10", until="2001-09-13T01:46:40Z").manifest["counts"]
    assert (counts["listed"], counts["outside"], counts["embedded"]) == (12, 9, 3)
    counts = run_pipeline(input=str(images), limit=5, incremental=True).manifest["counts"]
    assert (counts["unchanged"], counts["over_limit"], counts["embedded"]) == (3, 4, 5)
    counts = run_pipeline(input=str(images), limit=5, incremental=True).manifest["counts"]
    assert (counts["unchanged"], counts["over_limit"], counts["embedded"]) == (8, 0, 4)


def test_only_what_the_inputs_cover_can_be_found_missing(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    other = tmp_path / "other"
    other.mkdir()
    photo(30, 30).save(other / "x.jpg")
    run_pipeline(input=[str(images), str(other)])
    shutil.rmtree(other)
    counts = run_pipeline(input=str(images), incremental=True).manifest["counts"]
    assert (counts["unchanged"], counts["deleted"]) == (12, 0)
    for name in ("00.jpg", "01.jpg"):
        (images / name).unlink()
    assert run_pipeline(input=str(images / "*1.jpg"), incremental=True).manifest["counts"]["deleted"] == 1
    assert run_pipeline(input=str(images), incremental=True).manifest["counts"]["deleted"] == 1
