"""Large files of local disks, read and written from their beginning to their end by threads of their own.

Who reads has the next piece coming meanwhile, and who writes goes on. Both go past the system's cache where they can:
through it each byte is copied once more, by way of memory that the system has to find first, which in a virtual machine
took three times as long as the disk.
"""

from __future__ import annotations

import errno
import fcntl
import io
import mmap
import os
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

import google_crc32c
from typing_extensions import Buffer

BUFFER_BYTES = 4 << 20  # a multiple of any disk's blocks, in whole pages, as O_DIRECT wants it
O_DIRECT: int = getattr(os, "O_DIRECT", 0)  # Linux alone has it


class Ahead(io.RawIOBase):
    """A file of a local disk, read from its beginning to its end; its caller closes it, after this.

    What the system has in its cache comes from there, all else past it: it is read once, and would drive out what is
    read more often.
    """

    def __init__(self, file: IO[bytes]):
        self._descriptor = file.fileno()
        self._place = 0
        self._ready = memoryview(b"")
        self._buffer, self._other = (memoryview(mmap.mmap(-1, BUFFER_BYTES)) for _ in range(2))
        self._thread = ThreadPoolExecutor(1)
        self._coming = self._begin()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        if not self._ready:
            self._ready = self._buffer[: self._coming.result()]
            if self._ready:
                self._buffer, self._other = self._other, self._buffer
                self._coming = self._begin()
        with memoryview(buffer) as wanted:
            size = min(len(wanted), len(self._ready))
            _copy(self._ready[:size], wanted)
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        if not self.closed:
            self._thread.shutdown()
            _set_direct(self._descriptor, False)
        super().close()

    def _begin(self) -> Future[int]:
        return self._thread.submit(self._read, self._buffer)

    def _read(self, buffer: memoryview) -> int:
        """The next bytes, of which there are fewer than fit only at the end."""
        direct = not _is_cached(self._descriptor, self._place) and _set_direct(self._descriptor, True)
        done = 0
        while done < len(buffer):
            try:
                size = os.preadv(self._descriptor, [buffer[done:]], self._place)
            except OSError as e:
                if e.errno != errno.EINVAL or not direct:
                    raise
                direct = _set_direct(self._descriptor, False)  # what is no multiple of a disk's blocks, or none of it
                continue
            if not size:
                break
            done += size
            self._place += size
        if direct:
            _set_direct(self._descriptor, False)
        return done


class Stream(io.RawIOBase):
    """Written once: what was given to it is in the file when it is flushed, and nothing more is taken then.

    Args:
        file: an empty one, which its caller closes.
        direct: whether to write past the cache; not what is read again soon.
    """

    def __init__(self, file: IO[bytes], direct: bool):
        self.file = file
        self.size = 0
        self._checksum = google_crc32c.Checksum()
        self._direct = direct and _set_direct(file.fileno(), True)
        self._filled = 0
        self._buffer, self._other = (mmap.mmap(-1, BUFFER_BYTES) for _ in range(2))
        self._thread = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def fileno(self) -> int:
        return self.file.fileno()

    def write(self, data: Buffer) -> int:
        """All of it, or what the disk says of something before it, which is told once."""
        with memoryview(data) as given, given.cast("B") as view:
            done = 0
            while done < len(view):
                some = view[done : done + BUFFER_BYTES - self._filled]
                with memoryview(self._buffer) as whole:
                    _copy(some, whole[self._filled :])
                done += len(some)
                self._filled += len(some)
                if self._filled == BUFFER_BYTES:
                    self._hand_over()
            self.size += done
        return done

    def flush(self) -> None:
        """Raises OSError when something could not be written."""
        if not self.closed:
            self._hand_over()
            self._wait()
            self._through_the_cache()  # who writes after this, or through the file, may write as little as they like

    def close(self) -> None:
        """Ends its thread, and leaves the file open; what was not flushed is given up."""
        if not self.closed:
            self._thread.shutdown()
            self._filled, self._writing = 0, None
            super().close()
            self._buffer.close()
            self._other.close()

    def size_and_crc32c(self) -> tuple[int, str]:
        """Of all that was written, as `spooling.size_and_crc32c`."""
        digest: bytes = self._checksum.digest()
        return self.size, digest.hex()

    def _hand_over(self) -> None:
        self._wait()
        if self._filled:
            self._writing = self._thread.submit(self._write, self._buffer, self._filled)
            self._buffer, self._other, self._filled = self._other, self._buffer, 0

    def _wait(self) -> None:
        writing, self._writing = self._writing, None
        if writing:
            writing.result()

    def _write(self, buffer: mmap.mmap, size: int) -> None:
        self._checksum.update(buffer[:size])
        if size < BUFFER_BYTES:
            self._through_the_cache()
        with memoryview(buffer) as whole, whole[:size] as view:
            done = 0
            while done < size:
                with view[done:] as rest:
                    done += self._write_some(rest)

    def _write_some(self, rest: memoryview) -> int:
        try:
            return os.write(self.file.fileno(), rest)
        except OSError as e:
            if e.errno != errno.EINVAL or not self._direct:
                raise
            self._through_the_cache()  # a file system that takes the flag and nothing with it
            return os.write(self.file.fileno(), rest)

    def _through_the_cache(self) -> None:
        if self._direct:
            self._direct = _set_direct(self.file.fileno(), False)


def _copy(some: memoryview, to: memoryview) -> None:
    """To the beginning of it, by NumPy, which lets go of the interpreter's lock meanwhile."""
    import numpy as np  # which help and refusals, that import this page, do without

    np.asarray(to)[: len(some)] = some


def _is_cached(descriptor: int, place: int) -> bool:
    """Whether the system has the next bytes of a file in its memory, or does not tell.

    It is asked for any one of them, since a page that it does not have is fetched then, and found by who asks again.
    """
    if not hasattr(os, "RWF_NOWAIT"):
        return True
    try:
        os.preadv(descriptor, [bytearray(1)], place + time.monotonic_ns() % BUFFER_BYTES, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:  # a file system that does not tell; or has an error, which comes when it is read
        return True
    return True


def _set_direct(descriptor: int, wanted: bool) -> bool:
    """Whether reads and writes go past the cache from now on."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | O_DIRECT if wanted else flags & ~O_DIRECT)
    except OSError:  # a file system that has no such thing
        return False
    return wanted and bool(O_DIRECT)
