"""What readers of containers are asked, and what they give."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from transforms.elements import Refusal
from transforms.inputs.rules import Skipped, ignore
from transforms.stores.store_errors import too_large

STAGE = "unpack"
ALL_COLUMNS = "*"


class Member(NamedTuple):
    """An image in a container.

    Attributes:
        name: unique within the container; a number, from 0, of records and rows.
        size: bytes of the encoded image, also where it is refused for them.
        updated: seconds since the epoch, UTC; None where the container does not tell.
        fingerprint: what the container tells that changes with the member: of a tar size and time, of a zip the CRC32,
            of a TFRecord the CRC32C, both in hexadecimal; "" of Parquet, which tells nothing.
        content: the encoded image, or why there is none.
        columns: what is said of the image besides, by name: int, float, str, bytes, bool, None, dates, lists and dicts.
            A column that this member does not have is missing.
    """

    name: str
    size: int
    updated: float | None
    fingerprint: str
    content: bytes | Refusal
    columns: Mapping[str, Any] = {}


class Asked(NamedTuple):
    """What is asked of a container.

    Attributes:
        columns: names of what else of its members is wanted; `ALL_COLUMNS` among them for all, () for nothing.
        image_column: the column, or the feature, that holds the images; "" for the one that is found.
        max_bytes: of an encoded image; larger ones are refused.
        takes: as what a member of a name is left out, "" when it is taken. Asked of tar and zip alone: records and rows
            have no names.
        skipped: called with the name and the kind of what is left out.
    """

    columns: tuple[str, ...] = ()
    image_column: str = ""
    max_bytes: int = 128 << 20
    takes: Callable[[str], str] = lambda name: ""
    skipped: Skipped = ignore


class ContainerError(Exception):
    """A container, or the rest of one, of which no members can be told; the text is one sentence for a person.

    Attributes:
        error: the class for a dead letter.
    """

    error = "NotAContainer"


class NoImagesError(ContainerError):
    """It is whole, and has no images where they were looked for; the text tells what it has."""

    error = "NoImage"


class CostlyContainerError(ContainerError):
    """Few bytes of it unpack to very many."""

    error = "TooCostly"


class DamagedContainerError(ContainerError):
    """It breaks; the text says where (byte, member, record, row) and how. What was told before holds."""

    error = "DamagedContainer"


def refused(error: str, message: str) -> Refusal:
    return Refusal(STAGE, error, message)


def refused_for_size(size: int, max_bytes: int) -> Refusal:
    return refused("ObjectTooLarge", str(too_large(size, max_bytes)))


def wants(columns: tuple[str, ...], name: str) -> bool:
    """Whether a column is among those that are asked for."""
    return ALL_COLUMNS in columns or name in columns
