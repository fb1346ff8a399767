"""Containers that are damaged at any place: each member that could be told has one outcome, and so has the rest."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.outputs.verify import verify_output
from pipeline.runs.running import RunReport
from tests.conftest import Run
from tests.pipeline.runs.corpora import all_told, ledger_rows
from tests.pipeline.runs.forms import BROKEN, FORMS
from tests.pipeline.runs.forms import corpus as photos_of
from tests.reading import newest_vectors
from transforms.inputs.containers.naming import container_of

pytestmark = pytest.mark.corpora
COUNT = 10  # images in each container, of which number `BROKEN` is no picture
SPAN = 600  # bytes that are damaged: more than a block of a tar, and no multiple of one
KINDS: Mapping[str, Callable[[bytes, int], bytes]] = {
    "cut": lambda data, at: data[:at],
    "flipped": lambda data, at: data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :],
    "zeros": lambda data, at: data[:at] + bytes(len(data[at : at + SPAN])) + data[at + SPAN :],
    "gap": lambda data, at: data[:at] + data[at + SPAN :],
    "twice": lambda data, at: data[: at + SPAN] + data[at:],
}


class Damage(NamedTuple):
    form: str
    kind: str
    place: float  # from 0, its first byte, to 1

    def of(self, whole: bytes) -> bytes:
        return KINDS[self.kind](whole, min(int(self.place * len(whole)), len(whole) - 1))


DAMAGE = st.builds(Damage, st.sampled_from([*FORMS]), st.sampled_from([*KINDS]), st.floats(0, 1))


@settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],  # to look for smaller examples would take many minutes of runs
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(damages=st.lists(DAMAGE, min_size=12, max_size=12))
def test_every_member_that_could_be_told_has_one_outcome(
    damages: list[Damage], tmp_path_factory: pytest.TempPathFactory, run_pipeline: Run
) -> None:
    """Of a night with twelve damaged containers, one on which nothing changed, and one on which all are mended."""
    folder = tmp_path_factory.mktemp("damaged")
    photos, wholes = photos_of(COUNT), {}
    broken = hashlib.sha256(photos[BROKEN].data).hexdigest()
    for number, form in enumerate(["tar", *(damage.form for damage in damages)]):
        (folder / str(number)).mkdir()
        (path,) = FORMS[form](photos, folder / str(number))
        wholes[path] = Path(path).read_bytes()
    sound, *paths = wholes
    for path, damage in zip(paths, damages, strict=True):
        Path(path).write_bytes(damage.of(wholes[path]))
    (folder / "containers.txt").write_text("\n".join(wholes))
    options = {"input": str(folder / "containers.txt"), "output": str(folder / "output"), "incremental": True}
    options |= {"columns": "cls,caption", "max_failure_rate": 1.0}

    first = run_pipeline(run_id="night-1", **options)
    counts = counts_of(first)
    assert counts["listed"] == counts["embedded"] + counts["failed"]
    rows = by_container(first)
    assert rows.keys() == wholes.keys()
    assert len(rows[sound]) == COUNT + 1
    digests = digests_in(first)
    left_out = sum(counts.get("left_out", {}).values())
    for path, damage in zip(paths, damages, strict=True):
        (own,) = (row for row in rows[path] if row["uri"] == path)
        told, unharmed = len(rows[path]) - 1, unharmed_by(damage, wholes[path])
        assert told <= COUNT, damage
        if own["outcome"] == "read":
            least = unharmed if is_cut_between_records(damage, wholes[path]) else COUNT
            assert told + left_out >= least, damage  # an extension in the directory of a zip may be damaged
        else:
            assert (own["outcome"], own["stage"]) == ("failed", "unpack"), damage
        assert max(digests[path].values(), default=1) == 1, damage
        sound_ones = {hashlib.sha256(photo.data).hexdigest() for photo in photos[:unharmed]} - {broken}
        assert digests[path].keys() >= sound_ones, damage

    second = counts_of(run_pipeline(run_id="night-2", **options))
    assert second == {
        "listed": counts["listed"],
        "unchanged": counts["embedded"],
        "failed_before": counts["failed"],
    }

    for path in paths:
        Path(path).write_bytes(wholes[path])
    third = counts_of(run_pipeline(run_id="night-3", **options))
    assert third["embedded"] == len(paths) * (COUNT - 1)
    assert (third["unchanged"], third["failed_before"], third["failed"]) == (COUNT - 1, 1, len(paths))
    vectors: dict[str, list[bytes]] = defaultdict(list)
    for uri, vector in zip(*newest_vectors(options["output"]), strict=True):
        vectors[container_of(uri)].append(vector.tobytes())
    assert all(sorted(vectors[path]) == sorted(vectors[sound]) for path in paths)
    assert len(vectors[sound]) == COUNT - 1
    result = verify_output(options["output"])
    assert result.holds, result.as_text()


def counts_of(report: RunReport) -> dict[str, Any]:
    """The counts that are not zero."""
    return {name: count for name, count in report.manifest["counts"].items() if count}


def by_container(report: RunReport) -> dict[str, list[dict[str, Any]]]:
    """The ledger's rows of each container: of its members, and of itself."""
    found = defaultdict(list)
    for row in ledger_rows(report):
        found[container_of(row["uri"]) or row["uri"]].append(row)
    return found


def digests_in(report: RunReport) -> dict[str, Counter[str]]:
    """By container, the digests of the images that were embedded."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for uri, told in all_told(report):
        if told.digest:
            found[container_of(uri)][told.digest] += 1
    return found


def unharmed_by(damage: Damage, whole: bytes) -> int:
    """How many images lie before the damage, with all that is said of them, where a form tells them from there.

    gzip is read ahead by more than these archives, and Parquet and zip tell at their end what they hold.
    """
    ends = {"tar": ends_of_samples, "tfrecord": ends_of_records}.get(damage.form)
    return sum(end <= common(whole, damage.of(whole)) for end in ends(whole)) if ends else 0


def is_cut_between_records(damage: Damage, whole: bytes) -> bool:
    """Whether nothing says that there were more."""
    return damage.form == "tfrecord" and len(damage.of(whole)) in (0, *ends_of_records(whole))


def common(one: bytes, two: bytes) -> int:
    """How many bytes are the same from the beginning on."""
    size = min(len(one), len(two))
    differing = np.flatnonzero(np.frombuffer(one[:size], np.uint8) != np.frombuffer(two[:size], np.uint8))
    return int(differing[0]) if len(differing) else size


def ends_of_samples(archive: bytes) -> list[int]:
    """Where the header ends that follows each sample of three files, or the end mark: the sample was seen whole."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        begins = [member.offset for member in tar.getmembers()][::3]
        return [begin + tarfile.BLOCKSIZE for begin in [*begins[1:], tar.offset]]


def ends_of_records(data: bytes) -> list[int]:
    """By the lengths that stand before records, with 4 bytes of a checksum behind each of both."""
    ends, at = [], 0
    while at < len(data):
        at += 8 + 4 + int.from_bytes(data[at : at + 8], "little") + 4
        ends.append(at)
    return ends
