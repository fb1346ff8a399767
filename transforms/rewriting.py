"""RewriteColumns: records of earlier runs with the columns that their images have now."""

from __future__ import annotations

from dataclasses import dataclass, field

import apache_beam as beam
from apache_beam.pvalue import PCollection

from transforms.compacting import ReadRecords
from transforms.elements import EncodedBatch, PlacedRecord
from transforms.packing import PackByShard
from transforms.records.columns import with_columns
from transforms.records.ledger import COLUMNS_CHANGED
from transforms.stores.filesystems import StorageOptions


@dataclass
class RewriteColumns(beam.PTransform[PCollection[tuple[str, PlacedRecord]], PCollection[EncodedBatch]]):
    """Reads each shard once, and writes new columns beside the vectors in it: nothing is fetched, decoded or embedded.

    In: (shard, `PlacedRecord`), whose image has the columns. Out: `EncodedBatch`.

    Raises, in a worker: DamagedRecordError.
    """

    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, placed: PCollection[tuple[str, PlacedRecord]]) -> PCollection[EncodedBatch]:
        rewritten: PCollection[EncodedBatch] = (
            placed
            | "Pack" >> PackByShard()
            | "ReadRecords" >> ReadRecords(self.storage_options)
            | "Rewrite" >> beam.Map(_rewritten).with_output_types(EncodedBatch)
        )
        return rewritten


def _rewritten(batch: EncodedBatch) -> EncodedBatch:
    pairs = zip(batch.sources, batch.examples, strict=True)
    sources = [image._replace(reason=COLUMNS_CHANGED) for image in batch.sources]
    return EncodedBatch(sources, [with_columns(record, image.columns) for image, record in pairs])
