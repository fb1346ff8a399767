"""The bytes of an object, one version of it, as a file that can be read and sought.

Of a store it is read in pieces, each with tries of its own, so that a fault in the middle costs one piece again and
nothing else. Who reads on has the next pieces under way meanwhile; who jumps fetches nothing of what lies between. Web
servers promise no parts and no versions: what they give is spooled to the local disk once.
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, NamedTuple, cast

from fsspec.asyn import get_loop, sync

from transforms.elements import ImageObject
from transforms.stores import fetching, filesystems, storage
from transforms.stores.fetching import FetchError, Policy, fetch_error
from transforms.stores.regular import open_regular
from transforms.stores.spooling import naming, open_spool

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

# At 20 ms a request, a connection that gives 100 MB/s spends two thirds of its time on the bytes of a piece; four at
# once make up for the rest. Where a reader arrives by a jump it may go on to another place, so that less is asked for.
PIECE_BYTES = 4 << 20
FIRST_PIECE_BYTES = 1 << 20
AHEAD = 3
# In memory: those ahead, the one that is read, and some behind it or elsewhere: columns of Parquet are read in turn.
PIECES_KEPT = 8
BUFFER_BYTES = 1 << 16
PERSISTENT = Policy(whole_seconds=6 * 3600.0, max_bytes=64 << 30)
# What a web server gives is on the local disk, and not for ever.
MOST_OF_THE_WEB = 64 << 30
SECONDS_OF_THE_WEB = 6 * 3600.0


def described(row: ImageObject, policy: Policy) -> ImageObject:
    """The row of an object, its blanks filled in where its store tells more.

    Raises:
        FetchError: it is not there.
    """
    if filesystems.scheme_of(row.uri) in storage.WEB_SCHEMES or (row.version and row.size >= 0):
        return row
    found: ImageObject = sync(get_loop(), fetching.describe, row, policy)
    return found


@contextmanager
def open_current(uri: str, policy: Policy = PERSISTENT) -> Iterator[IO[bytes]]:
    """A file of the bytes that a name has now, at its beginning; on a store through its faults.

    Raises:
        FileNotFoundError, NotAFileError, OSError: as local files do, at the opening or when it is read.
    """
    if filesystems.is_local(uri):
        with open_regular(storage.path_of(uri)) as file:
            yield file
        return
    try:
        with open_object(described(ImageObject(uri), policy), policy) as file:
            yield file
    except FetchError as e:
        if e.error == "NotFound":
            raise FileNotFoundError(errno.ENOENT, str(e), uri) from None
        raise OSError(f"{e} ({uri})") from None


@contextmanager
def open_object(row: ImageObject, policy: Policy) -> Iterator[IO[bytes]]:
    """A file of the version of `row`, which is `described`, at its beginning. At the end nothing is left under way.

    Raises:
        FetchError: it cannot be had, or it is another version than was listed; reads of the file raise it as well.
    """
    scheme = filesystems.scheme_of(row.uri)
    if scheme == "file":
        yield from _local(row)
    elif scheme in storage.WEB_SCHEMES:
        with open_spool() as spool:
            bounds = policy._replace(max_bytes=MOST_OF_THE_WEB, whole_seconds=SECONDS_OF_THE_WEB)
            with naming():
                fetching.download_and_wait(row.address or row.uri, spool, bounds)
            spool.seek(0)
            yield spool
    elif row.size < 0:
        raise FetchError(
            "FetchFailed",
            "its store unpacks it on its way (its Content-Encoding is gzip), so that no part of it can be asked for; "
            "take that from its metadata",
        )
    else:
        with _Pieces(row, policy) as pieces, io.BufferedReader(pieces, BUFFER_BYTES) as file:
            yield cast(IO[bytes], file)


def _local(row: ImageObject) -> Iterator[IO[bytes]]:
    try:
        storage.describe(row.uri)  # before it is opened: a pipe would be waited for
        with open(storage.path_of(row.uri), "rb") as file:
            _check_version(file, row)
            yield file
            _check_version(file, row)
    except OSError as e:
        raise fetch_error(e, row) from e


def _check_version(file: IO[bytes], row: ImageObject) -> None:
    found = storage.describe_local(row.uri, os.fstat(file.fileno()))
    if row.version not in ("", found.version):
        raise FetchError("ContentChanged", "it has changed since it was listed")


class _Piece(NamedTuple):
    """The bytes from `start` to before `end`; `follows` another one, of a reader that reads on."""

    start: int
    end: int
    follows: bool
    data: Future[bytes]


class _Pieces(io.RawIOBase):
    """An object of a store."""

    def __init__(self, row: ImageObject, policy: Policy):
        self._row = row
        self._policy = policy
        self._at = 0
        self._pieces: list[_Piece] = []  # the one that was used last is the last
        self._tasks: set[asyncio.Task[bytes]] = set()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._row.size}[whence]
        if self._at < 0:
            raise ValueError(f"negative seek position {self._at}")
        return self._at

    def readinto(self, buffer: WriteableBuffer) -> int:
        if self._at >= self._row.size:
            return 0
        piece = self._piece(self._at)
        begin = self._at - piece.start
        data = memoryview(piece.data.result())[begin : begin + len(memoryview(buffer))]
        memoryview(buffer)[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if not self.closed:
            sync(get_loop(), self._end)
        super().close()

    def _piece(self, at: int) -> _Piece:
        """The one that holds a byte; of a reader that reads on, the next ones are begun as well."""
        piece = self._found(at)
        if piece is None:
            follows = any(each.end == at for each in self._pieces)
            piece = self._begun(at, PIECE_BYTES if follows else FIRST_PIECE_BYTES, follows)
        self._pieces.remove(piece)
        self._pieces.append(piece)
        end = piece.end
        for _ in range(AHEAD if piece.follows else 0):
            if end < self._row.size:
                end = (self._found(end) or self._begun(end, PIECE_BYTES, follows=True)).end
        return piece

    def _found(self, at: int) -> _Piece | None:
        return next((piece for piece in self._pieces if piece.start <= at < piece.end), None)

    def _begun(self, start: int, size: int, follows: bool) -> _Piece:
        """Begins to fetch a piece, up to the next one that is there."""
        end = min([start + size, self._row.size, *(piece.start for piece in self._pieces if piece.start > start)])
        piece = _Piece(start, end, follows, asyncio.run_coroutine_threadsafe(self._fetch(start, end), get_loop()))
        self._pieces.append(piece)
        if len(self._pieces) > PIECES_KEPT:
            self._pieces.pop(0).data.cancel()
        return piece

    async def _fetch(self, start: int, end: int) -> bytes:
        task = asyncio.ensure_future(fetching.fetch_range(self._row, start, end, self._policy))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await task

    async def _end(self) -> None:
        for piece in self._pieces:
            piece.data.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
