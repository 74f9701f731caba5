"""The proxy breaks every connection that it has taken, however new it is."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_S, until

MOST_TURNS = 5
at_any_turn = pytest.mark.parametrize("turns", range(MOST_TURNS))


@at_any_turn
async def test_who_connects_as_it_refuses_is_reset(turns: int) -> None:
    async with Proxy(1) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            await _turn(turns)
            await proxy.refuse()
            await _hears_the_end(client)


@at_any_turn
async def test_who_connects_as_it_stops_is_reset(turns: int) -> None:
    proxy = await Proxy(1).start()
    with socket.create_connection(("127.0.0.1", proxy.port)) as client:
        await _turn(turns)
        await proxy.stop()
        await _hears_the_end(client)


async def test_who_connects_while_it_stalls_is_heard_when_it_resumes() -> None:
    async with (
        await asyncio.start_server(_greet, "127.0.0.1") as server,
        Proxy(server.sockets[0].getsockname()[1]) as proxy,
    ):
        proxy.stall()
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            await until(lambda: len(proxy.open_ends) == 2, what="both ends to be open")
            await _turn(MOST_TURNS)
            assert not any(end.transport and end.transport.is_reading() for end in proxy.open_ends)
            proxy.resume()
            client.setblocking(False)
            async with asyncio.timeout(PATIENCE_S):
                assert await asyncio.get_running_loop().sock_recv(client, 5) == b"hello"


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    await reader.read()
    writer.close()


async def _turn(turns: int) -> None:
    """Have the loop turn so often: it takes the connection, and opens it, in one of these."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def _hears_the_end(client: socket.socket) -> None:
    client.setblocking(False)
    with pytest.raises(ConnectionResetError):
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.get_running_loop().sock_recv(client, 1)
