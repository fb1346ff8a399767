"""Pages of stores: what stands below a prefix and no deeper, and that all is asked for that is read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from aiohttp import web

from tests.integration.conftest import Server
from tests.web import serving
from transforms.inputs import paging
from transforms.stores import filesystems, storage

ITEM = {
    "kind": "storage#object",
    "name": "in/a.jpg",
    "size": "3",
    "generation": "17",
    "updated": "2026-11-23T21:00:00.500Z",
    "crc32c": "AAAAAA==",
    "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==",
    "owner": {"entity": "someone"},
}


def test_a_listing_that_stops_at_slashes_tells_folders(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """On several pages of a store that has them (moto)."""
    monkeypatch.setattr(paging, "PAGE", 3)
    below = [f"in/{number}.jpg" for number in range(8)]
    deeper = [f"in/{folder}/{number}.jpg" for folder in ("1.jpg", "sub", "x y") for number in range(2)]
    for name in (*below, *deeper, "in/deep/er/a.jpg", "other/a.jpg", "in.jpg"):
        storage.write_bytes(server.uri(name), b"x")
    pages = list(paging.pages(server.uri("in/"), recursive=False))
    assert [row.uri for page in pages for row in page.objects] == [server.uri(name) for name in below]
    folders = sorted(folder for page in pages for folder in page.folders)
    assert folders == [server.uri(f"in/{name}/") for name in ("1.jpg", "deep", "sub", "x y")]
    assert len(pages) == (4 if server.scheme == "s3" else 1)


def partial(answer: dict[str, Any], fields: str) -> dict[str, Any]:
    """What Google's API gives of an answer when only these fields are asked for."""
    of_items = re.search(r"items\(([^)]*)\)", fields)
    asked = re.sub(r"\([^)]*\)", "", fields).split(",")
    names = of_items[1].split(",") if of_items else []
    items = [{name: item[name] for name in names if name in item} for item in answer["items"]]
    return {name: value for name, value in {**answer, "items": items}.items() if name in asked}


@pytest.mark.parametrize("more", [{}, {"contentEncoding": "gzip"}])
def test_all_that_is_read_of_google_is_asked_for(more: dict[str, str]) -> None:
    """And a stand-in for an empty folder, whose name ends with a slash, is no image."""
    item, stand_in = {**ITEM, **more}, {**ITEM, "name": "in/"}
    answers = {
        "": {"kind": "storage#objects", "items": [stand_in, item], "prefixes": ["in/b/"], "nextPageToken": "second"},
        "second": {"kind": "storage#objects", "items": [{**item, "name": "in/z.jpg"}]},
    }

    async def listed(request: web.Request) -> web.Response:
        return web.json_response(partial(answers[request.query.get("pageToken", "")], request.query["fields"]))

    with serving({"/storage/v1/b/bucket/o": listed}) as site:
        filesystems.configure({"gs": {"token": "anon", "endpoint_url": site.url}})
        try:
            first, second = paging.pages("gs://bucket/in/", recursive=False)
        finally:
            filesystems.configure({})
    assert [(asked.query["prefix"], asked.query["delimiter"]) for asked in site.requests] == [("in/", "/")] * 2
    whole = [storage.describe_remote(f"gs://bucket/in/{name}.jpg", item) for name in "az"]
    assert [*first.objects, *second.objects] == whole
    assert (first.folders, second.folders) == (["gs://bucket/in/b/"], [])
