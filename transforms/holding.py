"""HoldLease: a job says that it is at work, for as long as one of its bundles is."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms.records import leases
from transforms.records.leases import Lease
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions
from transforms.stores.store_errors import describe_error

logger = logging.getLogger("embed_images")


@dataclass
class HoldLease(beam.PTransform[PCollection[Any], PCollection[Any]]):
    """Renews the lease of a run from the workers, whose launcher may have ended. It stands in each stage that lasts.

    In, out: any elements, unchanged.

    Attributes:
        lease: None for a pipeline that ends with its launcher, which renews the lease itself; nothing is added then.
        storage_options: of the stores, see `filesystems.configure`.
    """

    lease: Lease | None
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, elements: PCollection[Any]) -> PCollection[Any]:
        if self.lease is None:
            return elements
        hold = beam.ParDo(_Hold(self.lease, self.storage_options)).with_output_types(elements.element_type or Any)
        held: PCollection[Any] = elements | "Hold" >> hold
        return held


class _Hold(beam.DoFn):
    def __init__(self, lease: Lease, storage_options: StorageOptions):
        self._lease = lease
        self._storage_options = storage_options
        self._is_open = False

    def setup(self) -> None:
        filesystems.configure(self._storage_options)

    def start_bundle(self) -> None:
        self.teardown()  # of a bundle that failed
        _signs_of(self._lease).begin()
        self._is_open = True

    def process(self, element: Any) -> Iterator[Any]:
        """Raises RuntimeError when the run is no longer this job's."""
        if _signs_of(self._lease).lost:
            raise RuntimeError(leases.LOST.format(self._lease.run_id))
        yield element

    def finish_bundle(self) -> None:
        self.teardown()

    def teardown(self) -> None:
        if self._is_open:
            _signs_of(self._lease).end()
            self._is_open = False


class SignsOfLife:
    """Renews a lease while one of a process's bundles is open, and often enough when all of them are short.

    Attributes:
        lost: whether the lease was seen to hold no more: its run has ended, or is another's.
    """

    def __init__(self, lease: Lease):
        self._lease = lease
        self.lost = False
        self._open = 0
        self._due = 0.0  # on the clock of `time.monotonic`
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def begin(self) -> None:
        """A bundle begins."""
        with self._lock:
            self._open += 1
            if self._open == 1:
                self._ended = threading.Event()
                threading.Thread(target=self._renew, args=(self._ended,), name="lease", daemon=True).start()

    def end(self) -> None:
        """A bundle has ended."""
        with self._lock:
            self._open -= 1
            if self._open == 0:
                self._ended.set()

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self._due - time.monotonic()):
            self._due = time.monotonic() + leases.RENEWAL_SECONDS
            try:
                self.lost = not leases.renew(self._lease)
            except Exception as e:  # of the store, or of what lies there; the next one may come in time
                logger.warning("lease of run %s not renewed: %s", self._lease.run_id, describe_error(e))


_signs: dict[Lease, SignsOfLife] = {}  # of this process


def _signs_of(lease: Lease) -> SignsOfLife:
    return _signs.setdefault(lease, SignsOfLife(lease))
