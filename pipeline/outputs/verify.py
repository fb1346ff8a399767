"""embed-images verify: proves from the files alone that published runs are whole."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa

from pipeline.errors import OutputError
from pipeline.outputs import dataset
from pipeline.outputs.verdict import Problem, Result, RunResult
from transforms.records import layout
from transforms.records.ledger import NEW, REASONS
from transforms.records.tfrecord import DamagedRecordError
from transforms.stores import filesystems, storage
from transforms.stores.streaming import open_current

CHUNK = 1 << 20
LISTED = (*layout.KINDS.values(), "ledgers")  # of a manifest, the lists of files


def verify_output(output: str, run_id: str | None = None) -> Result:
    """Verifies one run, or all published ones, of an output.

    Raises:
        OutputError: no such run, or no run at all.
    """
    output = storage.normalize(output)
    try:
        published = dataset.run_ids(output)
    except (OSError, ImportError, ValueError) as e:
        raise OutputError(f"{output}: cannot be listed: {type(e).__name__}: {e}") from e
    if run_id is not None and run_id not in published:
        raise OutputError(f"{output}: no published run {run_id!r} (its folder has no {layout.SUCCESS})")
    if not published:
        raise OutputError(f"{output}: no published run; they lie in {storage.join(output, 'runs')}")
    return Result([verify_run(output, each) for each in ([run_id] if run_id else published)])


def verify_run(output: str, run_id: str) -> RunResult:
    """Checks one published run; every problem is in the result, none is raised."""
    result = RunResult(run_id)
    folder = layout.run_folder(output, run_id)
    try:
        manifest = dataset.read_manifest(folder)
        result.problems += _Verification(folder, manifest, result).problems()
    except OutputError as e:
        result.problems.append(Problem(layout.MANIFEST, str(e).partition(f"{layout.MANIFEST}: ")[2] or str(e)))
    except (OSError, ValueError, KeyError, TypeError) as e:
        result.problems.append(Problem(layout.MANIFEST, f"cannot be read: {type(e).__name__}: {e}"))
    return result


class _Verification:
    """The checks of one run, from its bytes up to its counts."""

    def __init__(self, folder: str, manifest: dict[str, Any], result: RunResult):
        self._folder = folder
        self._manifest = manifest
        self._result = result
        self._shard_of: dict[str, tuple[str, int]] = {}  # where the record of each uri is
        self._errors: Counter[str] = Counter()
        self._dead: dict[str, tuple[str, int, str]] = {}  # file, line and error of each dead letter
        self._gone: dict[str, tuple[str, int]] = {}  # file and line of each image that was found deleted
        self._read: dict[str, tuple[str, int]] = {}  # and of each container that was read
        self._reasons: Counter[str | None] = Counter()  # why images were embedded, or failed to be

    def problems(self) -> Iterator[Problem]:
        self._result.promised = self._manifest["counts"]["embedded"]
        kind_of = {entry["path"]: kind for kind in LISTED for entry in self._manifest[kind]}
        listed = [entry for kind in LISTED for entry in self._manifest[kind]]
        damage = {entry["path"]: message for entry in listed if (message := self._check_bytes(entry))}
        intact, damaged = kind_of.keys() - damage.keys(), {kind_of[path] for path in damage}
        for entry in self._manifest["shards"]:
            said = [problem.message for problem in self._check_shard(entry)]
            if message := damage.pop(entry["path"], ""):  # one fault, one sentence: with its place, where that is told
                said[-1:] = ["; ".join([*said[-1:], message])]
            yield from (Problem(entry["path"], each) for each in said)
        yield from (Problem(path, message) for path, message in damage.items())
        for entry in self._manifest["dead_letters"]:
            if entry["path"] in intact:
                yield from self._check_dead_letters(entry)
        for kind, found in (("deleted", self._gone), ("containers", self._read)):
            for entry in self._manifest[kind]:
                if entry["path"] in intact:
                    yield from self._check_lines(entry, found)
        if not damaged:
            yield from self._check_ledgers()
        yield from self._check_counts(damaged)
        yield from self._check_strays(set(kind_of))

    def _check_bytes(self, entry: dict[str, Any]) -> str:
        """What is wrong with a file as a whole; empty when its size and CRC32C hold."""
        uri = storage.join(self._folder, entry["path"])
        checksum, size = google_crc32c.Checksum(), 0
        try:
            with open_current(uri) as file:
                while chunk := file.read(CHUNK):
                    checksum.update(chunk)
                    size += len(chunk)
        except OSError as e:
            return "the file is missing" if isinstance(e, FileNotFoundError) else f"cannot be read: {e}"
        if size != entry["bytes"]:
            return f"{size:,} bytes, the manifest says {entry['bytes']:,}"
        found = checksum.digest().hex()
        return "" if found == entry["crc32c"] else f"CRC32C is {found}, the manifest says {entry['crc32c']}"

    def _check_shard(self, entry: dict[str, Any]) -> Iterator[Problem]:
        name, records = entry["path"], 0
        try:
            for batch in dataset.read_shard(storage.join(self._folder, name)):
                yield from self._check_records(batch, name, records)
                records += batch.num_rows
        except FileNotFoundError:
            return  # said already
        except DamagedRecordError as e:
            yield Problem(name, str(e))
            return
        except (OSError, EOFError, zlib.error, ValueError, KeyError) as e:
            yield Problem(name, f"after record {records}: {type(e).__name__}: {e}")
            return
        finally:
            self._result.records += records
        if records != entry["records"]:
            yield Problem(name, f"{records} records, the manifest says {entry['records']}")

    def _check_records(self, batch: pa.RecordBatch, name: str, first: int) -> Iterator[Problem]:
        dimension = self._manifest["model"]["feature_dim"]
        embeddings = batch.column("image/embedding")
        lengths = np.asarray(embeddings.value_lengths().fill_null(0))
        for row in np.flatnonzero(lengths != dimension).tolist():
            yield Problem(name, f"record {first + row}: a vector of {lengths[row]} values, not {dimension}")
        if (lengths == dimension).all():
            for row in np.flatnonzero(~np.isfinite(dataset.vectors_of(batch)).all(axis=1)).tolist():
                yield Problem(name, f"record {first + row}: a vector with values that are not finite")
        for row, uri in enumerate(dataset.texts_of(batch, "image/uri"), start=first):
            if uri in self._shard_of:
                other, other_row = self._shard_of[uri]
                yield Problem(name, f"record {row}: {uri} is in record {other_row} of {other} as well")
            self._shard_of[uri] = (name, row)

    def _check_dead_letters(self, entry: dict[str, Any]) -> Iterator[Problem]:
        try:
            letters = dataset.read_dead_letters(storage.join(self._folder, entry["path"]))
        except ValueError as e:
            yield Problem(entry["path"], f"cannot be read: {type(e).__name__}: {e}")
            return
        self._result.dead_letters += len(letters)
        if len(letters) != entry["records"]:
            yield Problem(entry["path"], f"{len(letters)} lines, the manifest says {entry['records']}")
        for line, letter in enumerate(letters, start=1):
            self._errors[letter["error"]] += 1
            if letter["uri"] in self._dead or letter["uri"] in self._shard_of:
                yield Problem(entry["path"], f"line {line}: {letter['uri']} has another record or dead letter")
            self._dead[letter["uri"]] = (entry["path"], line - 1, letter["error"])

    def _check_lines(self, entry: dict[str, Any], found: dict[str, tuple[str, int]]) -> Iterator[Problem]:
        """Of a file of lines that each tell of another uri, which are put into `found`."""
        try:
            uris = [line["uri"] for line in dataset.read_dead_letters(storage.join(self._folder, entry["path"]))]
        except (ValueError, KeyError, TypeError) as e:
            yield Problem(entry["path"], f"cannot be read: {type(e).__name__}: {e}")
            return
        if len(uris) != entry["records"]:
            yield Problem(entry["path"], f"{len(uris)} lines, the manifest says {entry['records']}")
        for line, uri in enumerate(uris, start=1):
            if any(uri in known for known in (self._shard_of, self._dead, self._gone, self._read)):
                yield Problem(entry["path"], f"line {line}: {uri} has another record, dead letter or line")
            found[uri] = (entry["path"], line - 1)

    def _check_ledgers(self) -> Iterator[Problem]:
        """Every ledger row points at its record or dead letter, and nothing is left without a row."""
        seen: set[str] = set()
        for entry in self._manifest["ledgers"]:
            try:
                table = dataset.read_ledger(storage.join(self._folder, entry["path"]))
            except (OSError, ValueError) as e:
                yield Problem(entry["path"], f"cannot be read: {type(e).__name__}: {e}")
                continue
            if table.num_rows != entry["records"]:
                yield Problem(entry["path"], f"{table.num_rows} rows, the manifest says {entry['records']}")
            names = ["uri", "outcome", "shard", "row", "error", *({"reason"} & set(table.column_names))]
            for number, row in enumerate(table.select(names).to_pylist()):
                uri = row["uri"]
                if row["outcome"] in ("embedded", "failed"):
                    self._reasons[row.get("reason")] += 1
                if uri in seen:
                    yield Problem(entry["path"], f"row {number}: {uri} has a row already")
                seen.add(uri)
                if row["outcome"] == "embedded" and self._shard_of.get(uri) != (row["shard"], row["row"]):
                    found = self._shard_of.get(uri)
                    where = f"it is in {found}" if found else "it is in no shard"
                    yield Problem(
                        entry["path"], f"row {number}: {uri} should be record {row['row']} of {row['shard']}; {where}"
                    )
                if row["outcome"] == "deleted" and self._gone.get(uri) != (row["shard"], row["row"]):
                    message = f"row {number}: {uri} is gone, but line {row['row']} of {row['shard']} does not say so"
                    yield Problem(entry["path"], message)
                if row["outcome"] == "read" and self._read.get(uri) != (row["shard"], row["row"]):
                    message = f"row {number}: {uri} was read, but line {row['row']} of {row['shard']} does not say so"
                    yield Problem(entry["path"], message)
                if row["outcome"] not in ("embedded", "failed", "deleted", "read"):
                    yield Problem(entry["path"], f"row {number}: {uri} has the outcome {row['outcome']!r}")
                if row["outcome"] == "failed" and self._dead.get(uri) != (row["shard"], row["row"], row["error"]):
                    message = f"row {number}: {uri} failed with {row['error']}, but line {row['row']} of {row['shard']}"
                    yield Problem(entry["path"], f"{message} is no dead letter that says so")
        told = {*self._shard_of, *self._dead, *self._gone, *self._read}
        for uri in sorted(told - seen)[:20]:
            yield Problem(layout.MANIFEST, f"{uri} has a record or a dead letter but no ledger row")
        counts = self._manifest["counts"]
        containers = counts.get("containers", 0)
        if len(seen) != counts["embedded"] + counts["failed"] + counts["deleted"] + containers:
            parts = "embedded + failed + deleted + containers"
            yield Problem(layout.MANIFEST, f"{len(seen)} rows in the ledgers, not {parts}")

    def _check_counts(self, damaged: set[str]) -> Iterator[Problem]:
        """That they add up, and are those of the files; but for the kinds of files of which one is damaged."""
        counts = self._manifest["counts"]
        parts = ("unchanged", "failed_before", "outside", "over_limit", "embedded", "failed")
        if counts["listed"] != sum(counts[part] for part in parts):
            yield Problem(layout.MANIFEST, f"listed is not {' + '.join(parts)}")
        lines = "lines in files"
        for kind, count, found, what in (
            ("deleted", "deleted", len(self._gone), lines),
            ("containers", "containers", len(self._read), lines),
            ("shards", "embedded", self._result.records, "records in shards"),
            ("dead_letters", "failed", self._result.dead_letters, "dead letters"),
        ):
            if kind not in damaged and counts.get(count, 0) != found:
                yield Problem(layout.MANIFEST, f"{counts.get(count, 0)} {count}, {found} {what}")
        told = {reason: counts[reason] for reason in REASONS if NEW in counts}  # earlier versions told none
        if "ledgers" not in damaged and told and Counter(told) != self._reasons:
            yield Problem(layout.MANIFEST, f"the ledgers have other reasons than {told}: {dict(self._reasons)}")
        if "dead_letters" not in damaged and Counter(counts["failed_by_error"]) != self._errors:
            yield Problem(layout.MANIFEST, f"failed_by_error differs from the dead letters: {dict(self._errors)}")

    def _check_strays(self, known: set[str]) -> Iterator[Problem]:
        known |= {layout.MANIFEST, layout.SUCCESS}
        root = self._folder.partition("://")[2] or self._folder
        for path in sorted(filesystems.filesystem(self._folder).find(self._folder)):
            name = path.partition("://")[2] or path
            name = name.removeprefix(root).lstrip("/")
            if name not in known:
                yield Problem(name, "the manifest does not know this file; a reader's glob might take it")
