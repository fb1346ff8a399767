"""Modules of a hub: an archive behind a URL, as tfhub.dev and its kin give it.

tensorflow_hub fetches them as well. But it unpacks without bounds, into a folder that it trusts whoever owns it, and
importing it takes seconds of every start. So what it does here is loading (conversion.py), and what it has kept in
`TFHUB_CACHE_DIR` is read.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Protocol
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from pipeline.errors import ModelError
from pipeline.model.archives import ArchiveError, unpack
from pipeline.model.ownership import refuse_others, refuse_others_within
from pipeline.model.sealing import sealed
from transforms.stores.addresses import resolved_inside

TFHUB_CACHE = "TFHUB_CACHE_DIR"
# How a hub is asked for the archive: https://www.tensorflow.org/hub/hosting
ARCHIVE_QUERY = ("tf-hub-format", "compressed")
SCHEMES = ("http", "https")
WAIT_SECONDS = 30  # for a connection, and for each byte
TOTAL_SECONDS = 3600
MAX_ARCHIVE_BYTES = 8 << 30


def is_hub_url(handle: str) -> bool:
    return handle.partition("://")[0].lower() in SCHEMES


def hub_module(handle: str) -> Path:
    """The unpacked module of a hub's URL: what tensorflow_hub has kept of it, else our cache's, else fetched.

    Raises:
        ModelError: it cannot be had, or a cache is not this user's alone; `HubError` of the hub's own faults.
    """
    return _kept_by_tensorflow_hub(handle) or sealed("hub", {"handle": handle}, _Fetch(handle), lambda folder: folder)


class HubError(ModelError):
    """What a hub, or the way to it, did not give: the reason alone, without the handle."""


def _kept_by_tensorflow_hub(handle: str) -> Path | None:
    """A module in TFHUB_CACHE_DIR, under the name that tensorflow_hub gives it; not in its folder for want of one,
    which anybody may have made."""
    if not (kept := os.environ.get(TFHUB_CACHE)):
        return None
    cache = Path(kept)
    folder = cache / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    if not (folder / "saved_model.pb").exists():
        return None
    remedy = f"`chmod -R go-w` it if you know what it holds, or unset {TFHUB_CACHE}: the module is fetched then"
    refuse_others(cache, remedy)
    refuse_others_within(folder, remedy)
    return folder


class _Fetch:
    """Fetches and unpacks the archive of a handle to a folder."""

    def __init__(self, handle: str):
        self._handle = handle

    def __call__(self, folder: Path) -> None:
        opener = urllib.request.build_opener(_SameProtocol)
        try:
            with opener.open(archive_url(self._handle), timeout=WAIT_SECONDS) as response:
                unpack(_Limited(response), folder)
        except urllib.error.HTTPError as e:
            e.close()
            raise HubError(f"the hub answered {e.code} {str(e.reason)[:300]}") from None
        except ArchiveError as e:
            raise HubError(f"what came is no module archive: {e}") from e
        except (urllib.error.URLError, http.client.HTTPException, ssl.SSLError, TimeoutError, ConnectionError) as e:
            raise HubError(f"the hub cannot be reached ({str(getattr(e, 'reason', '') or e)[:300]})") from e
        except ValueError as e:
            raise HubError(f"that is no URL that can be asked ({e})") from e


def archive_url(handle: str) -> str:
    """Such as https://tfhub.dev/m/1?tf-hub-format=compressed."""
    parts = urlsplit(handle)
    return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), ARCHIVE_QUERY]), fragment=""))


class _SameProtocol(urllib.request.HTTPRedirectHandler):
    """Follows redirects from https to https, and from http to either; urllib's own would go to ftp.

    From a hub elsewhere, to no address of this machine or its link.
    """

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in (req.type, "https"):
            raise urllib.error.URLError(f"it redirects from {req.type} to {urlsplit(newurl).scheme}")
        if resolved_inside(urlsplit(newurl).hostname or "") and not resolved_inside(req.host.partition(":")[0]):
            raise urllib.error.URLError("it redirects to an address within the machine or its link")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Arriving(Protocol):
    def read1(self, size: int = -1, /) -> bytes: ...


class _Limited:
    """A response of which no more is read than an archive may have, for no longer than `TOTAL_SECONDS`."""

    def __init__(self, response: _Arriving):
        self._response = response
        self._left = MAX_ARCHIVE_BYTES
        self._ends = time.monotonic() + TOTAL_SECONDS

    def read(self, size: int = -1) -> bytes:
        data = self._response.read1(size)  # what has come: a trickle must not outlast the time
        self._left -= len(data)
        if self._left < 0:
            raise ArchiveError(f"it has more than {MAX_ARCHIVE_BYTES >> 30} GiB")
        if time.monotonic() > self._ends:
            raise ArchiveError(f"it did not arrive within {TOTAL_SECONDS // 60} minutes")
        return data
