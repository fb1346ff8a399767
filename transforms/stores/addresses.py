"""Addresses within a machine or on its link: its own, loopback, link-local, the metadata services of clouds."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Any

# Where instances ask for their credentials by IPv6, which is not link-local as the one by IPv4 is:
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html
METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254")})


class InternalAddressError(OSError):
    """A redirect leads to an internal address; the text is a sentence."""


def is_internal(host: str) -> bool:
    """Whether a numeric address is one of these; a name is none."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    plain = getattr(address, "ipv4_mapped", None) or address
    known = plain.is_loopback or plain.is_link_local or plain.is_unspecified or plain in METADATA
    return known or _is_own(plain)


def _is_own(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether the machine has an address, as its kernel says: at no other can a socket be bound.

    (Where `ip_nonlocal_bind` is set it can, and then every address is taken for an own one.)
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


async def resolves_inside(host: str) -> bool:
    """Whether a name, or an address, is one of a machine itself or of its link."""
    return await asyncio.get_running_loop().run_in_executor(None, resolved_inside, host)


def resolved_inside(host: str) -> bool:
    """`resolves_inside`, for a thread that may wait."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return False
    return any(is_internal(str(address[0])) for *_, address in found)


def outside_only(address: Any) -> socket.socket:
    """A socket for aiohttp's connector, which asks for one when it has resolved a name, right before it connects.

    Raises:
        InternalAddressError: the address is internal.
    """
    family, kind, protocol, _, (host, *_) = address
    if is_internal(str(host)):
        raise InternalAddressError(f"it is redirected to {host}, an address within the machine or its link")
    return socket.socket(family, kind, protocol)
