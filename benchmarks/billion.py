"""A billion images on Dataflow: a calculation, not a measurement.

    python benchmarks/billion.py --workers 200 --core_ms 10

From what was measured here (core-milliseconds of an image, bytes of a record, of a ledger row and of a shuffled row)
and from list prices, which change: every one of them is an option. What it leaves out: start-up and autoscaling, time
in which cores wait for the store, tries that failed, network between regions, and what the outputs cost to keep.
"""

from __future__ import annotations

import argparse

OPTIONS = {
    "images": (1e9, "to embed"),
    "workers": (200, "of run_configs/dataflow.yaml: n2-standard-4"),
    "vcpus": (4, "of a worker"),
    "memory_gb": (16, "of a worker"),
    "disk_gb": (50, "of a worker"),
    "core_ms": (10.0, "core-milliseconds an image, all of a run: `make bench-stages`"),
    "vcpu_share": (1.0, "of a core that a vCPU is worth: the measured cores are vCPUs, too"),
    "record_bytes": (6990, "of a vector of 1664 floats, its uri and the rest, framed"),
    "ledger_bytes": (30, "of a ledger row, in compressed Parquet"),
    "shuffled_bytes": (190, "of a listing row, with its key: a uri of 80 characters"),
    "image_bytes": (100_000, "of an image"),
    "shard_mib": (256, "--shard_size"),
    "page": (1000, "objects of a listing's page"),
    "vcpu_hour": (0.056, "dollars, Dataflow batch"),
    "memory_gb_hour": (0.003557, "dollars, Dataflow batch"),
    "disk_gb_hour": (0.000054, "dollars, standard persistent disk"),
    "shuffle_gb": (0.011, "dollars, Dataflow Shuffle"),
    "class_a": (0.005, "dollars for 1,000 listings, uploads and copies, Cloud Storage standard"),
    "class_b": (0.0004, "dollars for 1,000 reads"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, meaning) in OPTIONS.items():
        parser.add_argument(f"--{name}", type=float, default=default, help=f"{meaning} (default: {default:g})")
    given = parser.parse_args()
    cores = given.workers * given.vcpus * given.vcpu_share
    hours = given.images * given.core_ms / 1000 / 3600 / cores
    # A bundle that ends leaves a shard that is not full: one each bundle at least, some 25 bundles a worker thread.
    shards = given.images * given.record_bytes / (given.shard_mib * 2**20) + given.workers * 2 * 25
    written = 2 * shards * 2  # a shard and its ledger, uploaded and then copied into place
    costs = {
        f"vCPUs: {given.workers * given.vcpus * hours:,.0f} hours": given.workers
        * given.vcpus
        * hours
        * given.vcpu_hour,
        f"memory: {given.workers * given.memory_gb * hours:,.0f} GB hours": given.workers
        * given.memory_gb
        * hours
        * given.memory_gb_hour,
        "disks": given.workers * given.disk_gb * hours * given.disk_gb_hour,
        f"shuffle: {given.images * given.shuffled_bytes / 1e9:,.0f} GB": given.images
        * given.shuffled_bytes
        / 1e9
        * given.shuffle_gb,
        f"reads: {given.images / 1e6:,.0f} million": given.images / 1000 * given.class_b,
        f"listing: {given.images / given.page:,.0f} pages": given.images / given.page / 1000 * given.class_a,
        f"uploads and copies: {written:,.0f}": written / 1000 * given.class_a,
    }
    print(f"{given.images:,.0f} images, {given.workers:,.0f} workers of {given.vcpus:.0f} vCPUs")
    print(f"time at work             {hours:,.1f} hours, {given.images / hours / 3600:,.0f} images/s")
    print(
        f"read at once             {given.images / hours / 3600 * given.image_bytes / 1e9:,.1f} GB/s of the store,",
        end="",
    )
    print(f" {given.images / hours / 3600:,.0f} requests/s")
    print(f"records                  {given.images * given.record_bytes / 1e12:,.1f} TB in {shards:,.0f} shards")
    print(f"ledgers                  {given.images * given.ledger_bytes / 1e9:,.0f} GB")
    for name, cost in costs.items():
        print(f"{name:<40} ${cost:10,.0f}")
    print(
        f"{'sum':<40} ${sum(costs.values()):10,.0f}, ${sum(costs.values()) / given.images * 1e6:,.2f} a million images"
    )


if __name__ == "__main__":
    main()
