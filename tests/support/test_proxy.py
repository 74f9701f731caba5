"""The proxy closes what it has taken: a test that breaks the network breaks every connection."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_S

pytestmark = pytest.mark.parametrize("turns", range(5))


async def test_who_connects_as_it_refuses_is_reset(turns: int) -> None:
    async with Proxy(1) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            await _turn(turns)
            await proxy.refuse()
            await _hears_the_end(client)


async def test_who_connects_as_it_stops_is_reset(turns: int) -> None:
    proxy = await Proxy(1).start()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        await _turn(turns)
        await proxy.stop()
        await _hears_the_end(client)


async def _turn(turns: int) -> None:
    """Have the loop turn so often: it takes the connection, and opens it, in one of these."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def _hears_the_end(client: socket.socket) -> None:
    client.setblocking(False)
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_recv(client, 1)
