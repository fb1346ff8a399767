"""Where redirects lead: on the web, and from outside never into a machine."""

from __future__ import annotations

import ipaddress
import socket

import psutil
import pytest

from tests.web import Site, body, redirect, serving
from transforms.elements import ImageObject
from transforms.stores import addresses, filesystems, http
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait

DATA = b"an image"
ANY = str(ipaddress.IPv4Address(0))


def fetch(url: str) -> bytes:
    return fetch_and_wait(ImageObject(url), Policy(retries=2)).data


def refused(url: str) -> str:
    with pytest.raises(FetchError) as failed:
        fetch(url)
    assert failed.value.error == "FetchFailed"
    return str(failed.value)


def port_of(site: Site) -> str:
    return site.url.rpartition(":")[2]


def test_redirects_are_followed_and_not_for_ever() -> None:
    answers = {"/a": redirect("b?x=%2B+"), "/b": redirect("/c%2F"), "/c/": body(DATA), "/loop": redirect("/loop")}
    with serving(answers) as site:
        assert fetch(f"{site.url}/a") == DATA
        assert [request.raw_path for request in site.requests] == ["/a", "/b?x=%2B+", "/c%2F"]
        assert refused(f"{site.url}/loop") == "it is redirected more than 10 times"


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gs://bucket/x", "data:image/png,x"])
def test_redirects_stay_on_the_web(target: str) -> None:
    with serving({"/a": redirect(target)}) as site:
        sentence = refused(f"{site.url}/a")
    assert sentence == f"it is redirected to {target.partition(':')[0]}:, which is not followed"


def own_addresses() -> list[str]:
    """Those that the machine's interfaces have, as hosts of URLs; perhaps none but loopback's."""
    found = [address for interface in psutil.net_if_addrs().values() for address in interface]
    of_ip = [address.address for address in found if address.family in (socket.AF_INET, socket.AF_INET6)]
    return [f"[{address}]" if ":" in address else address for address in of_ip if "%" not in address]


@pytest.mark.parametrize(
    "host",
    [*own_addresses(), "localhost", "[::ffff:127.0.0.1]", ANY, "169.254.169.254", "[fe80::1]"],
)
def test_from_outside_no_redirect_leads_into_the_machine(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the first server were elsewhere: one that is here may lead here."""

    async def elsewhere(_: str) -> bool:
        return False

    with serving({"/secret": body(b"secret")}) as site:
        with serving({"/a": redirect(f"http://{host}:{port_of(site)}/secret")}) as first:
            monkeypatch.setattr(http, "resolves_inside", elsewhere)
            assert "an address within the machine or its link" in refused(f"{first.url}/a")
            assert len(first.requests) == 1
        assert site.requests == []


def test_a_server_of_the_machine_may_lead_within_it() -> None:
    with serving({"/b": body(DATA)}) as second, serving({"/a": redirect(f"{second.url}/b")}) as first:
        assert fetch(f"{first.url}/a") == DATA


@pytest.mark.parametrize(
    ("host", "internal"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("169.254.0.1", True), ("fe80::1%eth0", True),
        (ANY, True), ("::", True), ("::ffff:169.254.169.254", True), ("fd00:ec2::254", True),
        ("10.0.0.1", False), ("192.168.1.1", False), ("93.184.216.34", False), ("2606:2800::1", False),
        ("localhost", False),
    ],
)  # fmt: skip
def test_internal_addresses_are_known(host: str, internal: bool) -> None:
    assert addresses.is_internal(host) == internal


def test_own_addresses_are_internal_and_no_neighbours() -> None:
    """By what psutil lists, where the code asks the kernel."""
    own = {address.strip("[]") for address in own_addresses()}
    assert own
    assert all(map(addresses.is_internal, own))
    neighbours = {str(ipaddress.ip_address(address) + 7) for address in own if not address.startswith(("127.", "::1"))}
    assert not any(map(addresses.is_internal, neighbours - own))


def test_another_server_is_not_told_what_is_for_the_first() -> None:
    """The same machine by another name is another server."""
    filesystems.configure({"http": {"headers": {"Authorization": "Bearer secret"}}})
    try:
        with serving({"/b": body(DATA)}) as second:
            target = f"http://localhost:{port_of(second)}/b"
            with serving({"/a": redirect(target), "/c": redirect("/d"), "/d": body(DATA)}) as first:
                assert fetch(f"{first.url}/a") == DATA
                assert fetch(f"{first.url}/c") == DATA
    finally:
        filesystems.configure({})
    assert [request.headers.get("Authorization") for request in first.requests] == ["Bearer secret"] * 3
    assert [request.headers.get("Authorization") for request in second.requests] == [None]
