"""The images of an output that are most like another one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.errors import RunError
from pipeline.outputs.selection import Selection, select_features
from pipeline.vectors.exported import open_export
from pipeline.vectors.querying import embed_as
from pipeline.vectors.scoring import Block, Hit, nearest
from transforms.records import arrow
from transforms.records.arrow import EMBEDDING, URI
from transforms.stores import storage
from transforms.stores.secrets import redacted


def search_output(
    output: str,
    *,
    image: str = "",
    uri: str = "",
    k: int = 10,
    run_id: str = "",
    columns: Sequence[str] | None = None,
    model: str = "",
    trust: bool = False,
    export: str = "",
    exact: bool = False,
) -> list[Hit]:
    """Finds the images whose vectors are nearest to another one's, by cosine, exactly: all vectors are looked at.

    They are the newest of every image, of the newest run's generation, without images that were found deleted; or all
    of one run. One block of them is in memory at a time, besides the places of all records, up to 1 KB each.

    Args:
        image: a file or a URI, which is embedded with the model of the newest run, as that run would have done it.
        uri: instead of it, of an image of the output: its vector is there, no model is needed, and the image itself is
            not among what is found.
        k: how many are found, or fewer where there are fewer.
        run_id: of one run; "" for the newest vectors of all.
        columns: that hits tell, see `select_features`.
        model: where the run's module lies, when not where the run had it from.
        trust: see `prepare_model`.
        export: a folder of exports of the output, the current one of which is searched instead of the records: what
            it holds is found as it would be among these.
        exact: look at all vectors of an export that has an index of lists, which finds most of the nearest.

    Returns:
        Hits, the nearest first, equal ones in the order of uris; each tells the columns and `version`.

    Raises:
        ValueError: not one of `image` and `uri` is given, or k is below 1, or an export and a run.
        RunError: no such run, column or image, an image that cannot be read, or an export that is none of these
            vectors.
        ModelError: the vector cannot be made as the run's were.
        OutputError: a run or a record that is needed cannot be read.
    """
    if bool(image) == bool(uri) or k < 1:
        raise ValueError("one of image and uri is searched for, and k is at least 1")
    if export:
        if run_id:
            raise ValueError("an export is searched as a whole, not one run of it")
        exported = open_export(output, export, columns)
        if image:
            query = embed_as(exported.run, output, image, model=model, trust=trust)
            return exported.nearest(query, k, exact=exact)
        itself, query = exported.vector_of(uri)
        return [hit for hit in exported.nearest(query, k + 1, exact=exact) if hit.uri != itself][:k]
    chosen = select_features(output, run_id=run_id, columns=columns)
    if image:
        return nearest(_blocks(chosen), embed_as(chosen.run, output, image, model=model, trust=trust), k)
    itself, query = vector_of(output, uri, run_id)
    return [hit for hit in nearest(_blocks(chosen), query, k + 1) if hit.uri != itself][:k]


def vector_of(output: str, uri: str, run_id: str = "") -> tuple[str, np.ndarray]:
    """(uri, float32 [features]) of an image of an output, by the uri that records have, or another spelling of it.

    Raises:
        RunError: the output has no vector of it.
    """
    spellings = list(dict.fromkeys([uri, storage.normalize(uri)]))
    found = select_features(output, run_id=run_id, columns=(), uris=spellings)
    vectors = {each: block.vectors[i] for block in _blocks(found) for i, each in enumerate(block.uris)}
    for spelling in spellings:
        if spelling in vectors:
            return spelling, vectors[spelling]
    where = f"run {run_id}" if run_id else output
    raise RunError(
        f"{redacted(uri)}: {where} has no vector of it; `embed-images latest --to FILE` lists the uris that are there, "
        f"and --image embeds a file or URI that is not"
    )


def _blocks(chosen: Selection) -> Iterator[Block]:
    for batch in chosen.batches():
        rows = batch.drop_columns([URI, EMBEDDING])
        yield Block(batch.column(URI).to_pylist(), arrow.embeddings_of(batch), rows)
