"""A billion images on Dataflow, in containers and loose: a calculation, not a measurement.

    python benchmarks/billion.py --workers 200 --core_ms 10 --together 1000

From what was measured here (core-milliseconds of an image, bytes of a record, of a ledger row and of shuffled rows) and
from list prices, which change: every one of them is an option. What it leaves out: start-up and autoscaling, time in
which cores wait for the store, tries that failed, network between regions, and what the outputs cost to keep.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping

OPTIONS = {
    "images": (1e9, "to embed"),
    "together": (1000, "images of a container"),
    "workers": (200, "of run_configs/dataflow.yaml: n2-standard-4"),
    "vcpus": (4, "of a worker"),
    "memory_gb": (16, "of a worker"),
    "disk_gb": (50, "of a worker"),
    "core_ms": (10.0, "core-milliseconds an image, all of a run: `make bench-stages`"),
    "vcpu_share": (1.0, "of a core that a vCPU is worth: the measured cores are vCPUs, too"),
    "record_bytes": (6990, "of a vector of 1664 floats, its uri and the rest, framed"),
    "ledger_bytes": (30, "of a ledger row, in compressed Parquet"),
    "shuffled_bytes": (190, "of a listing row, with its key: a uri of 80 characters, in a block of its own"),
    "column_bytes": (0, "of a manifest's row that carries columns, likewise: 300 with a caption of 200 bytes"),
    "history_bytes": (0, "of an earlier run's row, likewise: 175; 220 where columns are compared"),
    "image_bytes": (100_000, "of an image"),
    "shard_mib": (256, "--shard_size"),
    "page": (1000, "objects of a listing's page"),
    "pages": (2, "requests a full page of a flat prefix that is listed in ranges: `make bench-listing`"),
    "vcpu_hour": (0.056, "dollars, Dataflow batch"),
    "memory_gb_hour": (0.003557, "dollars, Dataflow batch"),
    "disk_gb_hour": (0.000054, "dollars, standard persistent disk"),
    "shuffle_gb": (0.011, "dollars, Dataflow Shuffle"),
    "class_a": (0.005, "dollars for 1,000 listings, uploads and copies, Cloud Storage standard"),
    "class_b": (0.0004, "dollars for 1,000 reads"),
}
# Pieces of a container that are asked for: transforms/stores/streaming.py.
FIRST_PIECE_BYTES, PIECE_BYTES = 1 << 20, 4 << 20


def reads_of(size: float) -> int:
    """Requests for a container of so many bytes."""
    return 1 + math.ceil(max(0.0, size - FIRST_PIECE_BYTES) / PIECE_BYTES)


def calculated(given: argparse.Namespace, together: float) -> tuple[Mapping[str, str], Mapping[str, float]]:
    """What a run is, and what its parts cost in dollars.

    Args:
        together: images of a container; 1 for loose images.
    """
    vcpus = given.workers * given.vcpus
    hours = given.images * given.core_ms / 1000 / 3600 / (vcpus * given.vcpu_share)
    # A bundle that ends leaves a shard that is not full: one each bundle at least, some 25 bundles a worker thread.
    shards = given.images * given.record_bytes / (given.shard_mib * 2**20) + given.workers * 2 * 25
    written = 2 * shards * 2  # a shard and its ledger, uploaded and then copied into place
    objects = given.images / together
    reads = objects * (reads_of(together * given.image_bytes) if together > 1 else 1)
    listings = objects / given.page * given.pages
    shuffled = objects * given.shuffled_bytes + given.images * (given.column_bytes + given.history_bytes)
    rate = given.images / hours / 3600
    memory_hours = given.workers * given.memory_gb * hours
    said = {
        "objects": f"{objects:,.0f}",
        "hours at work": f"{hours:,.1f}",
        "images/s": f"{rate:,.0f}",
        "GB/s of the store": f"{rate * given.image_bytes / 1e9:,.1f}",
        "requests/s": f"{rate / given.images * reads:,.0f}",
        "reads": f"{reads:,.0f}",
        "listing requests": f"{listings:,.0f}",
        "GB shuffled": f"{shuffled / 1e9:,.1f}",
        "TB of records": f"{given.images * given.record_bytes / 1e12:,.1f}",
        "shards": f"{shards:,.0f}",
        "GB of ledgers": f"{given.images * given.ledger_bytes / 1e9:,.0f}",
        "uploads and copies": f"{written:,.0f}",
        "vCPU hours": f"{vcpus * hours:,.0f}",
    }
    costs = {
        "vCPUs": vcpus * hours * given.vcpu_hour,
        "memory": memory_hours * given.memory_gb_hour,
        "disks": given.workers * given.disk_gb * hours * given.disk_gb_hour,
        "shuffle": shuffled / 1e9 * given.shuffle_gb,
        "reads": reads / 1000 * given.class_b,
        "listing": listings / 1000 * given.class_a,
        "uploads and copies": written / 1000 * given.class_a,
    }
    return said, {**costs, "sum": sum(costs.values()), "a million images": sum(costs.values()) / given.images * 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, meaning) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{meaning} (default: {default:g})")
    given = parser.parse_args()
    packed, packed_costs = calculated(given, given.together)
    loose, loose_costs = calculated(given, 1)
    print(f"{given.images:,.0f} images, {given.workers:,.0f} workers of {given.vcpus:.0f} vCPUs")
    print(f"{'':<20} {f'{given.together:,.0f} together':>16} {'loose':>16}")
    for name in packed:
        print(f"{name:<20} {packed[name]:>16} {loose[name]:>16}")
    for name in packed_costs:
        print(f"{name + ', $':<20} {packed_costs[name]:>16,.2f} {loose_costs[name]:>16,.2f}")


if __name__ == "__main__":
    main()
