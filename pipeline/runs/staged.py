"""How much of a run is finished in staging, for whoever watches it from outside: its runner may tell nothing."""

from __future__ import annotations

import posixpath
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.records import layout, removal
from transforms.stores import storage
from transforms.stores.fetching import Policy
from transforms.stores.streaming import open_current

AT_ONCE = 32  # ledgers of which the numbers of rows are read at one look: a request or two each, once
ASKED_ONCE = Policy(0)


class Staged:
    """The finished files of a run, and the images in those whose ledgers were looked at."""

    def __init__(self, output: str, run_id: str):
        self._output = output
        self._run_id = run_id
        self._rows: dict[str, int] = {}

    def text(self) -> str:
        """Such as: 3 finished files of 36,000 images, 244.1 MB. Raises what stores raise when they list nothing."""
        sizes = removal.sizes_in(self._output, layout.STAGING, self._run_id)
        files = {name: size for name, size in sizes.items() if layout.STAGED.fullmatch(posixpath.basename(name))}
        unread = (name for name in files if f"{name}.ledger" in sizes and name not in self._rows and _tells(name))
        for name in islice(unread, AT_ONCE):
            self._rows[name] = self._rows_of(name)
        rows = sum(number for name, number in self._rows.items() if name in files)
        images = f" of {rows:,} images" if rows else ""
        return f"{len(files):,} finished files{images}, {sum(files.values()) / 1e6:,.1f} MB"

    def _rows_of(self, name: str) -> int:
        """0 of a ledger that is none, or is gone."""
        ledger = storage.join(layout.staging_folder(self._output, self._run_id), f"{name}.ledger")
        try:
            with open_current(ledger, ASKED_ONCE) as file:
                return int(pq.read_metadata(file).num_rows)
        except (OSError, pa.ArrowException, ValueError):
            return 0


def _tells(name: str) -> bool:
    """Whether a file is one of images embedded or failed."""
    return posixpath.basename(name).startswith(("features-", "dead_letters-"))
