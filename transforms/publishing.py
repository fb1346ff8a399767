"""PublishRun: makes a run visible as a whole, or not at all."""

from __future__ import annotations

import contextlib
import json
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import apache_beam as beam
import google_crc32c
from apache_beam.pvalue import AsDict, AsIter, AsList, AsSingleton, PCollection

from transforms.counting import count_outcomes, refusal_of
from transforms.elements import StagedFile
from transforms.holding import HoldLease
from transforms.inputs.kinds import sum_kinds
from transforms.records import documents, layout, leases, ledger, removal
from transforms.records.leases import Lease
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions

# What the manifest says of a file, where it is known.
ENTRY = ("path", "records", "bytes", "crc32c", "finished")


class Move(NamedTuple):
    """A staged file and the names it gets; `ledger_name` is empty for a run that is refused."""

    staged: StagedFile
    name: str
    ledger_name: str


class Plan(NamedTuple):
    """What publishing will do, decided once from all staged files.

    Attributes:
        folder: where the files go.
        refusal: why the run is not published; empty when it is.
        moves: every file that is kept.
        counts: the counts of the manifest.
        began: when this was decided.
    """

    folder: str
    refusal: str
    moves: Sequence[Move]
    counts: Mapping[str, Any]
    began: datetime


@dataclass
class PublishRun(beam.PTransform[Mapping[str, PCollection[Any]], PCollection[str]]):
    """Renames what was staged into place, then writes the manifest, then `_SUCCESS`.

    It happens inside the graph, so a launcher need not live to the end. Each step may be run again
    after a failure and comes to the same result.

    In: {"staged": `StagedFile`, "decisions": (decision, number of images), see `SelectImages`, "left_out": dicts of
    counts by kind, see `ListImages`; it may be missing}. Out: the manifest of the run (or of its refusal) as one JSON
    string.

    Attributes:
        output, run_id: name the run.
        compression: of its features, a key of `layout.EXTENSIONS`.
        max_failure_rate: failed images by listed ones, above which nothing is published.
        head: what the manifest says of the run besides its results.
        attempt: unique to this pipeline: of two that work at one run id, one publishes.
        storage_options: of the stores, see `filesystems.configure`.
        lease: of the run, see `HoldLease`.
    """

    output: str
    run_id: str
    compression: str
    max_failure_rate: float
    head: Mapping[str, Any]
    attempt: str
    storage_options: StorageOptions = field(default_factory=dict)
    lease: Lease | None = None

    def expand(self, inputs: Mapping[str, PCollection[Any]]) -> PCollection[str]:
        staged, decisions = inputs["staged"], inputs["decisions"]
        start = staged.pipeline | "Start" >> beam.Create([None])
        sides: list[Any] = [AsList(staged), AsDict(decisions)]
        if "left_out" in inputs:
            sides.append(AsIter(inputs["left_out"]))
        plan = start | "Plan" >> beam.Map(self._plan, *sides).with_output_types(Plan)
        published = (
            plan
            | "Moves" >> beam.FlatMap(self._moves)
            | "Spread" >> beam.Reshuffle()
            | "HoldLease" >> HoldLease(self.lease, self.storage_options)
            | "Move" >> beam.Map(self._publish_file)
        )
        finish = beam.Map(self._finish, AsSingleton(plan), AsList(published)).with_output_types(str)
        manifest: PCollection[str] = start | "Finish" >> finish
        return manifest

    def _plan(
        self,
        _: None,
        staged: Sequence[StagedFile],
        decisions: Mapping[str, int],
        left_out: Iterable[Mapping[str, int]] = (),
    ) -> Plan:
        began = datetime.now(UTC)
        filesystems.configure(self.storage_options)
        self._check_lease()
        counts = {**count_outcomes(staged, decisions), "left_out": sum_kinds(left_out)}
        refusal = refusal_of(counts, self.max_failure_rate)
        if refusal:
            return Plan(layout.refused_folder(self.output, self.run_id), refusal, plan_refusal(staged), counts, began)
        folder = layout.run_folder(self.output, self.run_id)
        moves = plan_moves(staged, self.compression)
        claim(folder, self.attempt, moves)
        return Plan(folder, "", moves, counts, began)

    def _check_lease(self) -> None:
        """Raises RuntimeError when the run is no longer this job's; a step that is run again after the end is late."""
        if self.lease is None or leases.holds(self.lease):
            return
        if not storage.exists(storage.join(layout.run_folder(self.output, self.run_id), layout.SUCCESS)):
            raise RuntimeError(leases.LOST.format(self.run_id))

    def _moves(self, plan: Plan) -> Iterator[tuple[str, Move]]:
        for move in plan.moves:
            yield plan.folder, move

    def _publish_file(self, folder_and_move: tuple[str, Move]) -> dict[str, Any]:
        """Moves one file; gives its manifest entry, with the one of its ledger under "ledger"."""
        filesystems.configure(self.storage_options)
        folder, (staged, name, ledger_name) = folder_and_move
        storage.move(staged.uri, storage.join(folder, name))
        entry: dict[str, Any] = {
            "kind": staged.kind,
            "path": name,
            "records": staged.records,
            "bytes": staged.bytes,
            "crc32c": staged.crc32c,
        }
        if staged.finished:
            entry["finished"] = layout.timestamp(datetime.fromtimestamp(staged.finished, UTC), "milliseconds")
        if ledger_name:
            entry["ledger"] = _publish_ledger(staged, name, storage.join(folder, ledger_name))
        return entry

    def _finish(self, _: None, plan: Plan, published: Sequence[dict[str, Any]]) -> str:
        filesystems.configure(self.storage_options)
        self._check_lease()
        now = datetime.now(UTC)
        manifest = json.dumps(
            {
                **with_phases(self.head, plan.began, now),
                "attempt": self.attempt,
                "finished": layout.timestamp(now, "seconds"),
                **({"refused": plan.refusal} if plan.refusal else {}),
                "counts": plan.counts,
                **_file_entries(published),
            },
            indent=2,
            ensure_ascii=False,
        )
        storage.write_bytes(storage.join(plan.folder, layout.MANIFEST), manifest.encode())
        if not plan.refusal:
            _check_complete(plan)
            with contextlib.suppress(FileExistsError):  # this step ran before
                storage.write_bytes(storage.join(plan.folder, layout.SUCCESS), b"", exclusive=True)
            removal.remove_refused(self.output, self.run_id)
        removal.remove_staging(self.output, self.run_id)
        return manifest


def with_phases(head: Mapping[str, Any], began: datetime, ended: datetime) -> dict[str, Any]:
    """What a head says, and of one that tells how long the launch took, and when it was over, the other phases as well.

    Clocks of several machines may disagree: no phase is shorter than nothing.
    """
    if "launched" not in head:
        return dict(head)
    images = (began - datetime.fromisoformat(head["launched"])).total_seconds()
    others = {"images": max(images, 0.0), "publish": max((ended - began).total_seconds(), 0.0)}
    return {**head, "phases": {name: round(s, 3) for name, s in {**head["phases"], **others}.items()}}


def claim(folder: str, attempt: str, moves: Iterable[Move]) -> None:
    """Makes the run this attempt's by creating its manifest, which only one can; before any file moves.

    It says what will move where, so that a later attempt can take it back if this ends in the middle.

    Raises:
        RuntimeError: another attempt publishes, or has published, this run.
    """
    uri = storage.join(folder, layout.MANIFEST)
    try:
        content = {"attempt": attempt, layout.MOVES: {move.name: move.staged.uri for move in moves}}
        storage.write_bytes(uri, json.dumps(content).encode(), exclusive=True)
    except FileExistsError:
        if (documents.read_claim(folder) or {}).get("attempt") != attempt:
            raise RuntimeError(
                f"another run with this id was faster: {folder} is its; nothing was overwritten"
            ) from None


def plan_moves(staged: Iterable[StagedFile], compression: str) -> list[Move]:
    """Names every staged file: shards in the order of their first uri, one ledger a file."""
    files = sorted(staged, key=lambda file: ([*layout.KINDS].index(file.kind), file.first_uri, file.uri))
    totals = Counter(file.kind for file in files)
    numbers: Counter[str] = Counter()
    moves = []
    for ledger_number, file in enumerate(files):
        name = layout.shard_name(file.kind, numbers[file.kind], totals[file.kind], compression)
        numbers[file.kind] += 1
        moves.append(Move(file, name, layout.shard_name("ledger", ledger_number, len(files))))
    return moves


def plan_refusal(staged: Iterable[StagedFile]) -> list[Move]:
    """Of a refused run, only the dead letters are kept."""
    dead_letters = (file for file in staged if file.kind == "dead_letters")
    return [move._replace(ledger_name="") for move in plan_moves(dead_letters, "none")]


def _check_complete(plan: Plan) -> None:
    """Raises RuntimeError when files of a run are gone before it is declared whole: another hand was at work."""
    found = {posixpath.basename(path) for path in filesystems.filesystem(plan.folder).find(plan.folder)}
    wanted = {name for move in plan.moves for name in (move.name, move.ledger_name)}
    if missing := sorted(wanted - found):
        raise RuntimeError(f"{len(missing)} files of {plan.folder} have gone, such as {missing[0]}: not publishing it")


def _publish_ledger(staged: StagedFile, shard: str, target: str) -> dict[str, Any]:
    """Completes ledger rows with the name that their shard got; gives the manifest entry."""
    data, rows = ledger.complete(storage.read_bytes(staged.ledger_uri), shard)
    storage.write_bytes(target, data)
    crc: bytes = google_crc32c.Checksum(data).digest()
    return {"path": target.rpartition("/")[2], "records": rows, "bytes": len(data), "crc32c": crc.hex()}


def _file_entries(published: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The manifest's lists of files, each sorted by name."""
    entries: dict[str, list[dict[str, Any]]] = {name: [] for name in (*layout.KINDS.values(), "ledgers")}
    for file in sorted(published, key=lambda entry: str(entry["path"])):
        fields: dict[str, Any] = {key: file[key] for key in ENTRY if key in file}
        entries[layout.KINDS[file["kind"]]].append(fields)
        if "ledger" in file:
            entries["ledgers"].append(file["ledger"])
    entries["ledgers"].sort(key=lambda entry: str(entry["path"]))
    return entries
