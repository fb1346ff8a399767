"""Input manifests: which files are some, and the images that they name."""

from __future__ import annotations

import gzip
import posixpath
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from itertools import islice
from typing import IO, Any, cast

import pyarrow as pa

from transforms.elements import ImageObject
from transforms.inputs import tables, texts
from transforms.inputs.bounds import BoundedReader, ManifestError
from transforms.inputs.carrying import FOLDER, carried, kinds_of
from transforms.inputs.containers.naming import kind_of
from transforms.inputs.facts import columns_of, with_facts
from transforms.inputs.rules import ListingError, Rules, web_image
from transforms.stores import filesystems, storage
from transforms.stores.fetching import FetchError, download_and_wait
from transforms.stores.streaming import PERSISTENT, open_current

# Each gives (row or line, values of the named columns). The first column must be there. The others, too, where they are
# not all that there may be; where they are, a file may lack some, and may have no others.
READERS: Mapping[str, Callable[[IO[bytes], Sequence[str], bool], Iterator[tuple[int, Sequence[Any]]]]] = {
    ".txt": texts.lines,
    ".csv": texts.rows_of_csv,
    ".tsv": texts.rows_of_tsv,
    ".jsonl": texts.rows_of_json,
    ".ndjson": texts.rows_of_json,
    ".json": texts.rows_of_json,
    ".parquet": tables.rows,
}
NAMES: Mapping[str, Callable[[IO[bytes]], Sequence[str]]] = {
    ".csv": texts.names_of_csv,
    ".tsv": texts.names_of_tsv,
    ".jsonl": texts.names_of_json,
    ".ndjson": texts.names_of_json,
    ".json": texts.names_of_json,
    ".parquet": tables.names,
}
# Lists, tables and archives by the names that they have elsewhere, which nobody means as an image.
NOT_READ = frozenset({
    ".7z", ".arrow", ".avro", ".bz2", ".db", ".feather", ".gz", ".h5", ".hdf5", ".html", ".ipc", ".jsonlines",
    ".list", ".lst", ".npy", ".npz", ".ods", ".orc", ".parq", ".pickle", ".pkl", ".rar", ".sqlite", ".tab", ".xls",
    ".xlsx", ".xml", ".xz", ".yaml", ".yml", ".zst",
})  # fmt: skip
GZIP = b"\x1f\x8b"
LAYERS = 2  # of gzip: a .gz that a server packs once more on its way
LONGEST_NAME = 1 << 16
ROWS = 1000  # that tell the kinds of columns


def is_manifest(uri: str) -> bool:
    """Whether an input of that name is a manifest; but for a table of images, see `holds_names`."""
    return _extension(uri) in READERS


def holds_names(uri: str, rules: Rules) -> bool:
    """Whether a manifest names its images; a table without a column of names is taken for a container of them.

    One behind a web server is not downloaded for that: it is a container where the column of its images is named.

    Raises:
        ListingError: it cannot be read.
    """
    if _extension(uri) != ".parquet":
        return True
    if filesystems.scheme_of(uri) in storage.WEB_SCHEMES:
        return not rules.image_column
    with sentences(uri), _opened(uri) as file:
        return rules.uri_column in tables.names(file)


def check_kind(uri: str) -> None:
    """Raises ListingError for names that are neither a manifest's that is read here nor an image's."""
    if filesystems.scheme_of(uri) in storage.WEB_SCHEMES and _path(uri).endswith("/"):
        raise ListingError(f"{uri}: a web server lists no folders; name its images in a manifest")
    if posixpath.splitext(_path(uri))[1].lower() in NOT_READ and not is_manifest(uri):
        known = ", ".join(READERS)
        raise ListingError(
            f"{uri}: no image, and no manifest or container that is read here; manifests are {known}, and .gz of the "
            f"texts, containers .tar, .tar.gz, .tfrecord, .parquet and .zip"
        )


def images_of(uri: str, rules: Rules) -> Iterator[ImageObject]:
    """The images that a manifest names; relative paths start from the manifest's folder.

    Raises:
        ListingError: it cannot be read, or not be read for sure: a lenient reader would lose rows.
    """
    folder = _path(uri).rpartition("/")[0] or "/"
    here = filesystems.is_local(uri)
    unit = "row" if _extension(uri) == ".parquet" else "line"
    with sentences(uri), _opened(uri) as file:
        facts, names = columns_of(rules), [column.name for column in rules.columns if column.name != FOLDER]
        if _extension(uri) == ".txt":
            names = [name for name in names if name == rules.uri_column]  # it has no other
        wanted = list(dict.fromkeys([*facts, *names]))
        for number, values in READERS[_extension(uri)](file, wanted, rules.all_columns):
            name, row = values[0], dict(zip(wanted, values, strict=True))
            if not isinstance(name, str) or not name:
                raise ManifestError(f"{unit} {number} has no text in its column {rules.uri_column!r}")
            if len(name) > LONGEST_NAME:
                raise ManifestError(f"{unit} {number} has a name of {len(name):,} characters")
            try:
                if not filesystems.is_local(name):
                    named = storage.normalize(name)
                elif not (name.startswith("/") or storage.FILE_URI.match(name)):
                    named = storage.normalize(storage.join(folder, name))
                elif here or rules.allow_local:
                    named = storage.normalize(name)
                else:
                    reason = "and it lies elsewhere itself; --allow_local takes it at its word"
                    raise ManifestError(f"{unit} {number} names a local file, {name[:200]!r}, {reason}")
                named.encode()
            except ValueError as e:  # of a file of another machine, or no text that can be written
                raise ManifestError(f"{unit} {number}: {e}") from None
            if rules.columns and names and kind_of(named):
                raise ManifestError(
                    f"{unit} {number} names a container, {named[:200]!r}, whose images have columns of their own; "
                    f"give containers as inputs of their own"
                )
            on_the_web = filesystems.scheme_of(named) in storage.WEB_SCHEMES
            image = web_image(named, rules) if on_the_web else ImageObject(named)
            try:
                if len(facts) > 1:
                    image = with_facts(image, values[1 : len(facts)], rules)
                if rules.columns:
                    image = image._replace(columns=carried(named, {name: row[name] for name in names}, rules))
            except (ManifestError, ValueError) as e:
                raise ManifestError(f"{unit} {number}: {e}") from None
            yield image


def relative_from(uri: str, rules: Rules) -> str:
    """The folder that a manifest's relative paths start from, where its first name is one; else "".

    Raises:
        ListingError: it cannot be read.
    """
    with sentences(uri), _opened(uri) as file:
        first = next(READERS[_extension(uri)](file, [rules.uri_column], False), None)
    name = str(first[1][0]) if first else "/"
    is_relative = filesystems.is_local(name) and not (name.startswith("/") or storage.FILE_URI.match(name))
    return (_path(uri).rpartition("/")[0] or "/") if is_relative else ""


def kinds_of_columns(uri: str, rules: Rules) -> dict[str, str]:
    """The kinds of the columns of a manifest, by their names, as its first `ROWS` rows have them; "" of no value.

    The column of names is one of texts; those of facts are not among them.

    Raises:
        ListingError: it cannot be read.
    """
    extension, source = _extension(uri), {rules.uri_column: "text"}
    if extension == ".txt":
        return source
    with sentences(uri), _opened(uri) as file:
        names = [name for name in NAMES[extension](file) if name not in columns_of(rules)]
        file.seek(0)
        rows = [values[1:] for _, values in islice(READERS[extension](file, [rules.uri_column, *names], False), ROWS)]
        return {**source, **kinds_of(names, rows, texts=extension in (".csv", ".tsv"))}


def _extension(uri: str) -> str:
    """The one that tells the format, in lower case: of list.csv.gz, `.csv`; of list.parquet.gz, `.gz`."""
    root, extension = posixpath.splitext(_path(uri).lower())
    inner = posixpath.splitext(root)[1]
    return inner if extension == ".gz" and inner in READERS and inner != ".parquet" else extension


def _path(uri: str) -> str:
    """A URI without what a URL has behind its path; a local one as the path that it names."""
    return uri.partition("?")[0] if filesystems.scheme_of(uri) in storage.WEB_SCHEMES else storage.path_of(uri)


@contextmanager
def _opened(uri: str) -> Iterator[IO[bytes]]:
    """The bytes of a manifest, unpacked whatever its name."""
    with ExitStack() as files:
        if filesystems.scheme_of(uri) in storage.WEB_SCHEMES:
            file: IO[bytes] = files.enter_context(tempfile.TemporaryFile())
            download_and_wait(uri, file, PERSISTENT)
        else:
            file = files.enter_context(open_current(uri))
        yield files.enter_context(unpacked(file))


@contextmanager
def unpacked(packed: IO[bytes]) -> Iterator[IO[bytes]]:
    """The bytes of an open file from its start, unpacked when they begin as gzip does."""
    with ExitStack() as files:
        file = packed
        for _ in range(LAYERS):
            file.seek(0)
            if file.read(len(GZIP)) != GZIP:
                break
            file.seek(0)
            layer = files.enter_context(gzip.GzipFile(fileobj=cast(Any, file)))
            file = files.enter_context(BufferedReader(BoundedReader(layer, packed)))
        file.seek(0)
        yield file


@contextmanager
def sentences(uri: str, what: str = "manifest") -> Iterator[None]:
    """Turns what is wrong with a manifest, or with another list by the name `what`, into one sentence that names it."""
    try:
        yield
    except ManifestError as e:
        raise ListingError(f"{uri}: {e}") from None
    except FileNotFoundError:
        raise ListingError(f"{uri}: no such {what}") from None
    except FetchError as e:
        raise ListingError(f"{uri}: {e}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise ListingError(f"{uri}: not a {what} that can be read: its gzip is damaged: {e}") from None
    except (ValueError, KeyError, pa.ArrowException) as e:
        reason = " ".join(str(e).split())
        raise ListingError(f"{uri}: not a {what} that can be read: {type(e).__name__}: {reason}") from None
