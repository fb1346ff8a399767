"""Flat prefixes listed in ranges of names, and a store that knows of none. Of gs:// see test_strict_gcs.py."""

from __future__ import annotations

import pytest
from aiohttp import web

from tests.integration.conftest import Server
from tests.integration.stores.ranges import check_ranges, check_split
from tests.web import serving
from transforms.inputs import paging
from transforms.inputs.inputs import Part, list_part, split_input
from transforms.stores import filesystems

pytestmark = pytest.mark.stores


@pytest.mark.parametrize("server", ["s3"], indirect=True)  # the emulator of gs:// gives all names as one page
def test_ranges_give_what_the_plain_listing_gives(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_ranges(server, monkeypatch)


@pytest.mark.parametrize("server", ["s3"], indirect=True)
def test_a_flat_prefix_is_split_into_ranges_for_all_workers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    check_split(server, monkeypatch)


@pytest.mark.parametrize("order", [1, -1], ids=["from no name on", "in no order"])
def test_a_store_that_knows_no_ranges_is_listed_page_by_page(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images may come twice then, and none is missed; nor is it split."""
    monkeypatch.setattr(paging, "PAGE", 10)
    monkeypatch.setattr(paging, "FLAT_PAGES", 3)
    names = [f"in/{number:03}.jpg" for number in range(95)][::order]

    async def listed(request: web.Request) -> web.Response:
        start = int(request.query.get("pageToken", 0))
        items = [{"name": name, "size": "1", "generation": "1"} for name in names[start : start + 10]]
        more = {"nextPageToken": str(start + 10)} if start + 10 < len(names) else {}
        return web.json_response({"items": items, **more})

    with serving({"/storage/v1/b/bucket/o": listed}) as site:
        filesystems.configure({"gs": {"token": "anon", "endpoint_url": site.url}})
        try:
            found = [image.uri for page in paging.many_pages("gs://bucket/in/") for image in page.objects]
            (part,) = split_input("gs://bucket/in/")
            assert isinstance(part, Part)
            of_part = [image.uri for image in list_part(part)]
        finally:
            filesystems.configure({})
    assert {uri.removeprefix("gs://bucket/") for uri in found} == set(names)
    assert of_part == found
