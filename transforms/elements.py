"""The few elements that flow between stages.

`ImageInfo` and the batches live within the one fused stage from load to write and are never serialized.
`DeadLetter` and `StagedFile`, few of a run, are pickled by Beam where they leave a stage, and listing rows cross the
one shuffle in blocks (`blocks.py`). Beam is not imported here, so that listing and storage can be used before it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Copy(NamedTuple):
    """Another object of the same bytes as an `ImageObject`; its attributes are those."""

    uri: str
    version: str
    updated: float | None
    columns: str
    reason: str = ""


class Refusal(NamedTuple):
    """Why there are no bytes of an image: what its dead letter says, see `DeadLetter`."""

    stage: str
    error: str
    message: str


class ImageObject(NamedTuple):
    """One listing row.

    Attributes:
        uri: the absolute path of a local file, or `scheme://…`.
        size: bytes; -1 where the listing does not tell (a manifest).
        version: changes when the bytes of the object change; "" where the listing does not tell.
        updated: seconds since the epoch, UTC; None where the listing does not tell.
        checksum: "crc32c:" or "md5:" and the base64 of the store; "" where it keeps none.
        listed_version: the version that was listed, where another one was fetched; else "".
        md5: of the content, in hexadecimal; "" where the listing does not tell. Kept with `--dedup listing` only.
        copies: other objects of the same content, which get the same outcome.
        address: where the bytes are, where that is another URI: with the query that `uri` lacks; else "".
        columns: what is said of the image besides its bytes, as `records.columns` writes it; "" for nothing.
        content: the encoded image, of a member of a container, which came with its listing; or why there is none; None
            of an image that is to be fetched. No bytes of it cross a shuffle.
        reason: why it is embedded, see `history.reason_of`; "" where earlier runs were not asked.
    """

    uri: str
    size: int = -1
    version: str = ""
    updated: float | None = None
    checksum: str = ""
    listed_version: str = ""
    md5: str = ""
    copies: Sequence[Copy] = ()
    address: str = ""
    columns: str = ""
    content: "bytes | Refusal | None" = None
    reason: str = ""

    def each(self) -> Iterator["ImageObject"]:
        """This object and its copies, each by itself."""
        if not self.copies:
            yield self
            return
        alone = self._replace(copies=())
        yield alone
        for copy in self.copies:
            yield alone._replace(**copy._asdict())


class PastOutcome(NamedTuple):
    """What one run did with one image.

    Attributes:
        uri: of the image.
        run: place of the run in the order of time; later ones have larger numbers.
        outcome: "embedded", "failed", "deleted" or "read", as in the ledger; or "staged", by a killed attempt at the
            same run.
        version: of the image then.
        stage: where it failed.
        columns: digest of what was carried of it, see `records.columns`; "" for nothing.
        shard, row: where its record is, when columns are compared.
    """

    uri: str
    run: int
    outcome: str
    version: str = ""
    stage: str = ""
    columns: str = ""
    shard: str = ""
    row: int = -1


class ImageInfo(NamedTuple):
    """What is known of a decoded image besides its pixels.

    Attributes:
        source: the listing row, its blanks filled in when the image was fetched.
        format: Pillow's name of the encoding, such as "JPEG".
        sha256: hexadecimal digest of the encoded image.
        width, height: pixels of the upright stored image, before any resize.
    """

    source: ImageObject
    format: str
    sha256: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class LoadedBatch:
    """Decoded images that go to the model together, one or more: (`ImageInfo`, pixels) of each, when it is iterated.

    Attributes:
        images: what is known of each.
        pixels: of each, uint8 [height, width, 3].
    """

    images: Sequence[ImageInfo]
    pixels: "Sequence[np.ndarray]"

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> "Iterator[tuple[ImageInfo, np.ndarray]]":
        return zip(self.images, self.pixels, strict=True)


@dataclass(frozen=True, slots=True)
class EmbeddedBatch:
    """Images and their feature vectors: (`ImageInfo`, vector) of each, when it is iterated.

    Attributes:
        images: what is known of each.
        vectors: float32 [len(images), features].
    """

    images: Sequence[ImageInfo]
    vectors: "np.ndarray"

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> "Iterator[tuple[ImageInfo, np.ndarray]]":
        return zip(self.images, self.vectors, strict=True)


class DeadLetter(NamedTuple):
    """An image that could not be embedded, and why.

    Attributes:
        source: the listing row.
        stage: "list", "unpack", "fetch", "decode" or "embed".
        error: the class of the failure, such as "TruncatedImage"; docs/output-format.md lists them.
        message: one sentence for a person.
    """

    source: ImageObject
    stage: str
    error: str
    message: str


class ReadContainer(NamedTuple):
    """A container that was read to its end.

    Attributes:
        source: its listing row; `columns` tells how it was read, see `unpacking`.
        members: that were told.
    """

    source: ImageObject
    members: int


class EncodedBatch(NamedTuple):
    """Serialized tf.Examples and the images that they are of, in the same order and of the same length."""

    sources: Sequence[ImageObject]
    examples: Sequence[bytes]


class PlacedRecord(NamedTuple):
    """A record of an image and where it lies: in which run, shard and row.

    Attributes:
        shard: URI of the file; "" for an image that was deleted.
        row: which record of it, from 0.
    """

    image: ImageObject
    run: int
    shard: str
    row: int


class StagedFile(NamedTuple):
    """A finished file under the staging folder, with the ledger rows of its records beside it.

    Attributes:
        kind: "features", "dead_letters", "deleted" or "containers".
        uri, ledger_uri: where the two files lie.
        records: records in the file, and rows in its ledger.
        bytes: size of the file.
        crc32c: of the whole file, as eight hexadecimal digits.
        first_uri: uri of the first record; orders the shards of a run.
        errors: records by error class; empty for features.
        reasons: records by why their images were embedded, see `history.reason_of`; without those that do not tell.
        finished: when, in seconds since the epoch; 0 where that was not noted.
    """

    kind: str
    uri: str
    ledger_uri: str
    records: int
    bytes: int
    crc32c: str
    first_uri: str
    errors: Mapping[str, int]
    reasons: Mapping[str, int] = {}
    finished: float = 0.0


class Stored(NamedTuple):
    """What a vector database has taken, of a part of an export; the parts are added up.

    Attributes:
        upserted: points that its sink was given and has not refused.
        found: images whose points were found there afterwards, of the version that the ledgers tell.
        deleted: images that are gone, whose points were found there no more.
        points: that the collection holds in the end.
    """

    upserted: int = 0
    found: int = 0
    deleted: int = 0
    points: int = 0


class ExportedFile(NamedTuple):
    """A file of an export.

    Attributes:
        of: what it was made of, for the order of files: the URI of a shard, or "" of what is made of uris.
        path: within the folder of the export.
        records: vectors, or uris of what is gone.
        bytes, crc32c: of the file; eight hexadecimal digits.
        reused: whether it is the one of an earlier export.
    """

    of: str
    path: str
    records: int
    bytes: int
    crc32c: str
    reused: bool = False
