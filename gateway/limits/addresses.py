"""The address of a request's client, behind proxies that are trusted to tell it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

HEADER: Final = "X-Forwarded-For"
# What one household or one phone has of IPv6.
_IPV6_SHARE_BITS: Final = 64


def remote_of(trusted: Sequence[Network]) -> Callable[[web.Request], str]:
    """Return a function that tells a request's address.

    Without trusted proxies that is the connection's own, and no header is looked at.
    """
    if not trusted:
        return peer_of
    is_trusted = _judge(tuple(trusted))

    def remote(request: web.Request) -> str:
        return client_address(peer_of(request), request.headers.getall(HEADER, ()), is_trusted)

    return remote


def peer_of(request: web.Request) -> str:
    """Return the address at the other end of a request's connection, empty where it has none."""
    return request.remote or ""


def client_address(peer: str, forwarded: Iterable[str], is_trusted: Callable[[str], bool]) -> str:
    """Return the address of the client at the far end of a chain of trusted proxies.

    Each proxy adds on the right whom it heard from. From there, what a trusted proxy wrote is believed: the first
    address that is not a proxy's own is the client's, and what stands left of it anybody may have made up.
    Where a trusted proxy wrote something else than an address, the client is `peer`.
    """
    if not is_trusted(peer):
        return peer
    client = peer
    for entry in reversed(",".join(forwarded).split(",")):
        address = parse(entry.strip())
        if address is None:
            return peer
        client = str(address)
        if not is_trusted(client):
            break
    return client


def parse(text: str) -> Address | None:
    """Read an address that may have a port, as some proxies write it; None for anything else.

    An IPv4 address that came over an IPv6 socket is the IPv4 address.
    """
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        # A zone ("%eth0") means something on the machine of whoever wrote it, and may be any text.
        address = ip_address(host) if "%" not in host else None
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=1024)
def share_of(address: str) -> str:
    """Return what one client has of addresses: an IPv4 address, or the network that an IPv6 client picks from."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), _IPV6_SHARE_BITS), strict=False))
    return address if parsed is None else str(parsed)


def _judge(trusted: tuple[Network, ...]) -> Callable[[str], bool]:
    @lru_cache(maxsize=1024)
    def is_trusted(address: str) -> bool:
        parsed = parse(address)
        # A Unix socket has no address: whoever may open it is a program of this machine, let in by its file.
        return address == "" if parsed is None else any(parsed in network for network in trusted)

    return is_trusted
