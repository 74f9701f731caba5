"""Requests of a page: kept connections, six at most, and one more try where a kept one breaks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.simulation.client.http import MAX_CONNECTIONS
from tests.simulation.client.tab import Options, Tab
from tests.support.waiting import until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Served(asyncio.Protocol):
    """A connection to the server: the test answers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.requests = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.server.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self.requests += data.count(b"\r\n\r\n")


class Server:
    def __init__(self) -> None:
        self.connections: list[Served] = []
        self.port = 0

    def requests(self) -> list[int]:
        """Return how many requests came on each connection."""
        return [connection.requests for connection in self.connections]


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.get_running_loop().create_server(lambda: Served(server), "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    yield server
    listener.close()
    for connection in server.connections:
        connection.transport.abort()
    await asyncio.sleep(0)


class Asker:
    """A tab, and the answers to its requests."""

    def __init__(self, server: Server, options: Options) -> None:
        self.tab = Tab(asyncio.get_running_loop(), random.Random(1), lambda: ("127.0.0.1", server.port), options)
        self.answers: list[tuple[int, str]] = []

    def request(self, method: str, body: str = "") -> None:
        self.tab.http.request(None, method, "/", body, lambda status, text: self.answers.append((status, text)))


async def test_six_at_a_time(server: Server) -> None:
    asker = Asker(server, Options())
    for _ in range(MAX_CONNECTIONS + 1):
        asker.request("GET")
    await until(lambda: server.requests() == [1] * MAX_CONNECTIONS)
    server.connections[0].transport.write(OK)
    await until(lambda: server.requests() == [2] + [1] * (MAX_CONNECTIONS - 1))
    assert asker.answers == [(200, "ok")]
    asker.tab.close(reset=True)
    await until(lambda: all(connection.transport.is_closing() for connection in server.connections))


@pytest.mark.parametrize("resends", [True, False])
async def test_a_kept_connection_breaks(server: Server, resends: bool) -> None:
    asker = Asker(server, Options(resends=resends))
    asker.request("GET")
    await until(lambda: server.requests() == [1])
    server.connections[0].transport.write(OK)
    await until(lambda: asker.answers)
    asker.request("POST", "1")
    await until(lambda: server.requests() == [2])
    server.connections[0].transport.abort()
    if resends:
        await until(lambda: server.requests() == [2, 1])
        server.connections[1].transport.abort()
    await until(lambda: len(asker.answers) == 2)
    assert asker.answers == [(200, "ok"), (0, "")]
    asker.tab.close(reset=False)
