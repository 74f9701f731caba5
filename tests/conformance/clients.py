"""Clients that behave: they answer every ping, so that a socket that closes was closed for what it did."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.websocket import Peer, opened


async def stays_open(peer: Peer) -> None:
    """Answer pings for a while: the server has every chance to close."""
    for _ in range(3):
        assert await peer.receive() == "2"
        peer.send("3")


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    """A Socket.IO client in the main namespace."""
    async with opened(port, path="/socket.io/") as peer:
        peer.send("40")
        assert (await peer.packet()).startswith('40{"sid":')
        assert await peer.packet() == '42["auth",{}]'
        yield peer
