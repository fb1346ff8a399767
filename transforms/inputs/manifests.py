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
from transforms.inputs.facts import columns_of, with_facts
from transforms.inputs.rules import ListingError, Rules, web_image
from transforms.stores import filesystems, storage
from transforms.stores.fetching import FetchError, Policy, download_and_wait

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
# Lists, tables and containers by the names that they have elsewhere, which nobody means as an image.
NOT_READ = frozenset({
    ".7z", ".arrow", ".avro", ".bz2", ".db", ".feather", ".gz", ".h5", ".hdf5", ".html", ".ipc", ".jsonlines",
    ".list", ".lst", ".npy", ".npz", ".ods", ".orc", ".parq", ".pickle", ".pkl", ".pq", ".rar", ".sqlite", ".tab",
    ".tar", ".tfrecord", ".tgz", ".xls", ".xlsx", ".xml", ".xz", ".yaml", ".yml", ".zip", ".zst",
})  # fmt: skip
GZIP = b"\x1f\x8b"
LAYERS = 2  # of gzip: a .gz that a server packs once more on its way
# What is downloaded from a web server before it is read: on the local disk, and not for ever.
DOWNLOAD = Policy(whole_seconds=6 * 3600.0, max_bytes=64 << 30)
LONGEST_NAME = 1 << 16
ROWS = 1000  # that tell the kinds of columns


def is_manifest(uri: str) -> bool:
    return _extension(uri) in READERS


def check_kind(uri: str) -> None:
    """Raises ListingError for names that are neither a manifest's that is read here nor an image's."""
    if filesystems.scheme_of(uri) in storage.WEB_SCHEMES and _path(uri).endswith("/"):
        raise ListingError(f"{uri}: a web server lists no folders; name its images in a manifest")
    if posixpath.splitext(_path(uri))[1].lower() in NOT_READ and not is_manifest(uri):
        known = ", ".join(READERS)
        raise ListingError(
            f"{uri}: no image, and no manifest that is read here; they are {known}, and .gz of the texts"
        )


def images_of(uri: str, rules: Rules) -> Iterator[ImageObject]:
    """The images that a manifest names; relative paths start from the manifest's folder.

    Raises:
        ListingError: it cannot be read, or not be read for sure: a lenient reader would lose rows.
    """
    folder = _path(uri).rpartition("/")[0] or "/"
    here = filesystems.is_local(uri)
    unit = "row" if _extension(uri) == ".parquet" else "line"
    with _sentences(uri), _opened(uri) as file:
        facts, names = columns_of(rules), [column.name for column in rules.columns if column.name != FOLDER]
        wanted = list(dict.fromkeys([*facts, *names]))
        for number, values in READERS[_extension(uri)](file, wanted, rules.all_columns):
            name = values[0]
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
            on_the_web = filesystems.scheme_of(named) in storage.WEB_SCHEMES
            image = web_image(named, rules) if on_the_web else ImageObject(named)
            try:
                if len(facts) > 1:
                    image = with_facts(image, values[1 : len(facts)], rules)
                if rules.columns:
                    image = image._replace(columns=carried(named, dict(zip(wanted, values, strict=True)), rules))
            except (ManifestError, ValueError) as e:
                raise ManifestError(f"{unit} {number}: {e}") from None
            yield image


def kinds_of_columns(uri: str, rules: Rules) -> dict[str, str]:
    """The kinds of the columns of a manifest, by their names, as its first `ROWS` rows have them; "" of no value.

    The columns of names and of facts are not among them.

    Raises:
        ListingError: it cannot be read.
    """
    extension = _extension(uri)
    if extension == ".txt":
        return {}
    with _sentences(uri), _opened(uri) as file:
        names = [name for name in NAMES[extension](file) if name not in columns_of(rules)]
        file.seek(0)
        rows = [values[1:] for _, values in islice(READERS[extension](file, [rules.uri_column, *names], False), ROWS)]
        return kinds_of(names, rows, texts=extension in (".csv", ".tsv"))


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
    """The bytes of a manifest, unpacked when they begin as gzip does, whatever its name."""
    with ExitStack() as files:
        if filesystems.is_local(uri):
            file: IO[bytes] = files.enter_context(open(storage.path_of(uri), "rb"))
        elif filesystems.scheme_of(uri) in storage.WEB_SCHEMES:
            file = files.enter_context(tempfile.TemporaryFile())
            download_and_wait(uri, file, DOWNLOAD)
        else:
            of_store = files.enter_context(filesystems.filesystem(uri).open(uri, "rb"))
            file = files.enter_context(BufferedReader(of_store))  # whose lines can be read within a bound
        packed = file
        for _ in range(LAYERS):
            file.seek(0)
            if file.read(len(GZIP)) != GZIP:
                break
            file.seek(0)
            unpacked = files.enter_context(gzip.GzipFile(fileobj=cast(Any, file)))
            file = files.enter_context(BufferedReader(BoundedReader(unpacked, packed)))
        file.seek(0)
        yield file


@contextmanager
def _sentences(uri: str) -> Iterator[None]:
    """Turns what is wrong with a manifest into one sentence that names it."""
    try:
        yield
    except ManifestError as e:
        raise ListingError(f"{uri}: {e}") from None
    except FileNotFoundError:
        raise ListingError(f"{uri}: no such manifest") from None
    except FetchError as e:
        raise ListingError(f"{uri}: {e}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise ListingError(f"{uri}: not a manifest that can be read: its gzip is damaged: {e}") from None
    except (ValueError, KeyError, pa.ArrowException) as e:
        reason = " ".join(str(e).split())
        raise ListingError(f"{uri}: not a manifest that can be read: {type(e).__name__}: {reason}") from None
