"""A TCP proxy in front of a server, through which a test breaks the network in every way that networks break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from enum import Enum
from typing import cast

import pytest_asyncio

from gateway.embedded import EmbeddedRedis


class Way(Enum):
    """What happens to bytes that travel in one direction."""

    PASS = "pass"
    HOLD = "hold"
    """They are on their way for as long as this lasts: a stall, a black hole, lost packets."""
    DROP = "drop"
    """They never arrive."""


class _End(asyncio.Protocol):
    """One end of a connection through the proxy; what it hears goes to the other end."""

    def __init__(self, pair: _Pair, *, is_client: bool) -> None:
        self._pair = pair
        self._is_client = is_client
        self.transport: asyncio.Transport | None = None
        self.held: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._pair.flush()

    def data_received(self, data: bytes) -> None:
        self._pair.forward(data, to_server=self._is_client)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.close()


class _Pair:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.client = _End(self, is_client=True)
        self.server = _End(self, is_client=False)

    def forward(self, data: bytes, *, to_server: bool) -> None:
        way = self._proxy.to_server if to_server else self._proxy.to_client
        if way is not Way.DROP:
            (self.server if to_server else self.client).held.append(data)
            self.flush()

    def flush(self) -> None:
        """Hand on what may go on."""
        for end, way in ((self.server, self._proxy.to_server), (self.client, self._proxy.to_client)):
            if way is Way.PASS and end.transport is not None and end.held:
                end.transport.write(b"".join(end.held))
                end.held.clear()

    def close(self) -> None:
        """End both ends at once, whatever is under way."""
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.abort()
        self._proxy.pairs.discard(self)


class Proxy:
    """The proxy; `url` is where its server seems to be."""

    def __init__(self, server_port: int) -> None:
        self.to_server = Way.PASS
        self.to_client = Way.PASS
        self.pairs: set[_Pair] = set()
        self.accepted = 0
        """Connections so far."""
        self.port = 0
        self._server_port = server_port
        self._listener: asyncio.Server | None = None
        self._connecting: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def start(self) -> None:
        """Take connections, on the port that it had before if it had one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._accept, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Cut everything and refuse new connections, until `start`."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.cut()
        await asyncio.sleep(0)

    def cut(self) -> None:
        """Reset every connection; new ones are taken."""
        for pair in list(self.pairs):
            pair.close()

    def stall(self) -> None:
        """Let nothing through either way, and close nothing: a half-open network."""
        self.to_server = self.to_client = Way.HOLD

    def lose_replies(self) -> None:
        """Let questions through and swallow the answers."""
        self.to_client = Way.DROP

    def resume(self) -> None:
        """Let everything through again, first what was held."""
        self.to_server = self.to_client = Way.PASS
        for pair in list(self.pairs):
            pair.flush()

    async def stop(self) -> None:
        await self.refuse()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    def _accept(self) -> asyncio.Protocol:
        pair = _Pair(self)
        self.pairs.add(pair)
        self.accepted += 1
        task = asyncio.ensure_future(self._connect(pair))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)
        return pair.client

    async def _connect(self, pair: _Pair) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: pair.server, "127.0.0.1", self._server_port)
        except OSError:
            pair.close()
        if pair not in self.pairs:
            pair.close()


@pytest_asyncio.fixture
async def redis_proxy(redis_server: EmbeddedRedis) -> AsyncIterator[Proxy]:
    """A proxy in front of `redis_server`, which stays where it is while the server restarts."""
    proxy = Proxy(redis_server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()
