"""Clients that behave: they answer every ping, so that a socket that closes was closed for what it did."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.engine.reader import CLOSE, TEXT
from tests.engine.wire import Peer, opened
from tests.support.waiting import PATIENCE_S


async def receive(peer: Peer) -> str | bytes:
    """Return the next message that is no ping; pings are answered."""
    while True:
        message = await peer.receive()
        if message != "2":
            return message
        peer.send("3")


async def closed(peer: Peer) -> int:
    """Answer pings until the server closes; return its close code."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            first, payload = await peer.frame()
            if first & 0x0F == CLOSE:
                return int.from_bytes(payload[:2], "big")
            if (first & 0x0F, payload) == (TEXT, b"2"):
                peer.send("3")


async def stays_open(peer: Peer) -> None:
    """Answer pings for a while: the server has every chance to close."""
    for _ in range(3):
        assert await peer.receive() == "2"
        peer.send("3")


@asynccontextmanager
async def engine_socket(port: int) -> AsyncIterator[Peer]:
    """An Engine.IO session over a websocket, under Socket.IO's path."""
    async with opened(port, target="/socket.io/?EIO=4&transport=websocket") as peer:
        yield peer


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Peer]:
    """A Socket.IO client in the main namespace."""
    async with engine_socket(port) as peer:
        peer.send("40")
        assert str(await receive(peer)).startswith('40{"sid":')
        assert await receive(peer) == '42["auth",{}]'
        yield peer
