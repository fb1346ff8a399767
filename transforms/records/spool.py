"""Spool: a file of a run that grows on local disk, its ledger beside it, until both are staged.

What was embedded is kept when its bundle fails or its process ends: the spool is staged then, for the next attempt at
the run. It is in no result of this one, since no bundle that succeeded names it.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Sequence

from transforms.elements import DeadLetter, ImageObject, StagedFile
from transforms.records.ledger import READ, LedgerSpool
from transforms.stores import storage
from transforms.stores.spooling import naming, open_spool, size_and_crc32c

FEATURES = "features"
OUTCOMES = {FEATURES: "embedded", "dead_letters": "failed", "deleted": "deleted", "containers": READ}
STAGED_FILE = "staged_file"  # the key of a staged ledger's metadata that tells of its file
GZIP_LEVEL = 1  # vectors hardly compress: level 9 costs many times more for a percent
logger = logging.getLogger("embed_images")

_open: set[Spool] = set()  # of this process, those that are worth being kept


class Spool:
    """A file that grows on local disk, and the ledger of its records beside it.

    Attributes:
        size: bytes added so far, before compression.
    """

    def __init__(self, kind: str, staging: str, compression: str = "none"):
        self._kind = kind
        self._target = storage.join(staging, f"{kind}-{uuid.uuid4().hex}")
        plain = open_spool()
        self._file = plain
        if compression == "gzip":
            # mtime=0 and no name: the same records make the same bytes.
            self._file = gzip.GzipFile("", "wb", GZIP_LEVEL, plain, mtime=0)  # type: ignore[assignment]
        self._plain = plain
        self._ledger = LedgerSpool()
        self._first_uri = ""
        self._errors: Counter[str] = Counter()
        self._opened = time.monotonic()
        self._lock = threading.Lock()  # a process may be ended by another thread than the one that adds
        self._is_whole = True
        self.size = 0
        if kind == FEATURES:
            _open.add(self)

    @property
    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened

    def add(self, records: Sequence[bytes], sources: Sequence[ImageObject], failure: DeadLetter | None = None) -> None:
        """Adds records, and of each the image that it is of.

        Raises:
            OSError: the disk is full; it names the folder of temporary files.
        """
        data = b"".join(records)
        with self._lock:
            self._is_whole = False
            with naming():
                self._file.write(data)
            self.size += len(data)
            self._first_uri = self._first_uri or sources[0].uri
            for source in sources:
                self._ledger.add(source, OUTCOMES[self._kind], failure)
            if failure is not None:
                self._errors[failure.error] += len(records)
            self._is_whole = True

    def close(self) -> None:
        """Closes the local files, staged or not, on a full disk, too."""
        _open.discard(self)
        for file in (self._file, self._plain):
            with contextlib.suppress(OSError):
                file.close()
        self._ledger.close()

    def stage(self) -> StagedFile:
        """Finishes the file, and uploads it and its ledger; nothing stays on the local disk, whatever happens."""
        with self._lock, contextlib.closing(self):
            return self._stage()

    def keep(self) -> None:
        """Stages the records of a bundle that does not end.

        It raises nothing: what cannot be kept now, as where an `add` was cut off, is embedded again.
        """
        with self._lock, contextlib.closing(self):
            if not self._is_whole or not self._ledger.rows or self not in _open:
                return
            try:
                self._stage()
            except Exception as e:  # of the store, or of the disk
                logger.warning("records that were embedded are not kept: %s: %s", type(e).__name__, e)

    def _stage(self) -> StagedFile:
        with naming():
            if self._file is not self._plain:
                self._file.close()  # which leaves the plain one open
            self._plain.flush()
        size, crc32c = size_and_crc32c(self._plain)
        storage.upload(self._plain, self._target)
        ledger_uri = f"{self._target}.ledger"
        staged = StagedFile(
            kind=self._kind,
            uri=self._target,
            ledger_uri=ledger_uri,
            records=self._ledger.rows,
            bytes=size,
            crc32c=crc32c,
            first_uri=self._first_uri,
            errors=dict(self._errors),
            reasons=dict(self._ledger.reasons),
            finished=time.time(),
        )
        # The ledger comes last and tells of its file: where it is, the file is whole, whatever became of the bundle.
        self._ledger.stage(ledger_uri, {STAGED_FILE: json.dumps(staged._asdict())})
        return staged


def keep_open() -> None:
    """Keeps the records of all open spools of a process that ends."""
    for spool in [*_open]:
        spool.keep()
