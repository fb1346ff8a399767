"""The way of an image, in Beam: list, select, load, embed, encode, write, publish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.transforms.combiners import Count

from pipeline.config import RunConfig
from pipeline.model import FeatureModel
from transforms import layout
from transforms.elements import register_row_coders
from transforms.embedding import EmbedImages
from transforms.encoding import EncodeExamples
from transforms.engines import BATCH_SIZES
from transforms.fetching import Policy
from transforms.listing import ListImages
from transforms.loading import LoadImages
from transforms.publishing import PublishRun
from transforms.selecting import SelectImages
from transforms.writing import WriteDeadLetters, WriteShards


def build(
    pipeline: beam.Pipeline,
    config: RunConfig,
    model: FeatureModel,
    artifact_uri: str,
    attempt: str,
    head: Mapping[str, Any],
) -> None:
    """Adds a run to a pipeline.

    Args:
        artifact_uri: where workers find the artifact of `model`.
        attempt: unique to this pipeline, see `PublishRun`.
        head: what the manifest says besides results, see `PublishRun`.
    """
    register_row_coders()
    stores = config.storage_options
    staging = layout.staging_folder(config.output, config.run_id, attempt)
    batch_size = config.batch_size or BATCH_SIZES[model.engine]

    # Listing runs in the graph: a bucket of millions is never in the launcher's memory.
    listed = (
        pipeline
        | "Inputs" >> beam.Create(list(config.input))
        | "ListImages" >> ListImages(config.all_files, config.uri_column, stores, config.output)
    )
    # The one shuffle, of uris. From here to WriteShards all is one fused stage: no pixel and no vector
    # is ever serialized.
    selected = listed | "SelectImages" >> SelectImages()
    loaded, failed_to_load = selected | "LoadImages" >> LoadImages(
        model.input_size,
        config.resize,
        config.max_image_pixels,
        config.max_object_bytes,
        config.fetch_concurrency,
        config.prefetch_bytes,
        Policy(config.fetch_retries),
        stores,
        config.threads,
    )
    embedded, failed_to_embed = loaded | "EmbedImages" >> EmbedImages(
        model.engine, model.precision, artifact_uri, batch_size, config.threads, stores
    )
    shards = (
        embedded
        | "EncodeExamples" >> EncodeExamples()
        | "WriteShards" >> WriteShards(staging, config.shard_size, config.compression, stores)
    )
    dead_letters = (
        (failed_to_load, failed_to_embed)
        | "AllFailed" >> beam.Flatten()
        | "WriteDeadLetters" >> WriteDeadLetters(staging, storage_options=stores)
    )
    # Counted apart from the records: publishing refuses when the two do not agree.
    number_selected = selected | "CountSelected" >> Count.Globally()
    staged = (shards, dead_letters) | "AllStaged" >> beam.Flatten()
    _ = {"staged": staged, "listed": number_selected} | "PublishRun" >> PublishRun(
        config.output, config.run_id, config.compression, config.max_failure_rate, head, attempt, stores
    )
