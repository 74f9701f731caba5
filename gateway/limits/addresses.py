"""The address of a request's client, behind trusted proxies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from aiohttp import web

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

HEADER: Final = "X-Forwarded-For"
# The size of the IPv6 network that one household or one phone gets.
_IPV6_SHARE_BITS: Final = 64


def remote_of(trusted: Sequence[Network]) -> Callable[[web.Request], str]:
    """Return a function that returns the client address of a request.

    Without trusted proxies it is the address of the connection, and headers are ignored.
    """
    if not trusted:
        return peer_of
    is_trusted = _judge(tuple(trusted))

    def remote(request: web.Request) -> str:
        return client_address(peer_of(request), request.headers.getall(HEADER, ()), is_trusted)

    return remote


def peer_of(request: web.Request) -> str:
    """Return the address of the connection's other end; empty for a Unix socket."""
    return request.remote or ""


def client_address(peer: str, forwarded: Iterable[str], is_trusted: Callable[[str], bool]) -> str:
    """Return the address of the client at the far end of a chain of trusted proxies.

    Each proxy appends the address that it got the request from. Read from the right, the first address that is not
    a trusted proxy's is the client's; anything left of it may be forged. If a trusted proxy wrote no valid
    address, the client is `peer`.
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
    """Return the address in a text, which may have a port, as some proxies write it; None if it is malformed.

    An IPv4-mapped IPv6 address is returned as IPv4.
    """
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        # A zone ("%eth0") is only valid on the machine that wrote it, and may be any text.
        address = ip_address(host) if "%" not in host else None
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(maxsize=1024)
def share_of(address: str) -> str:
    """Return the addresses that one client has: an IPv4 address, or the /64 network of an IPv6 address."""
    parsed = parse(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((int(parsed), _IPV6_SHARE_BITS), strict=False))
    return address if parsed is None else str(parsed)


def _judge(trusted: tuple[Network, ...]) -> Callable[[str], bool]:
    @lru_cache(maxsize=1024)
    def is_trusted(address: str) -> bool:
        parsed = parse(address)
        # A Unix socket has no address. It is trusted: file permissions decide which programs may connect.
        return address == "" if parsed is None else any(parsed in network for network in trusted)

    return is_trusted
