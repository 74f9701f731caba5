"""Websockets that run through one process to another: connects like any other, raw once they are websockets."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.peers.keys import KEY
from gateway.peers.registry import Peer
from gateway.peers.tls import Tls
from tests.deploy.proxy import ask as request
from tests.metrics.page import page_of
from tests.support.polling import Poller, http_client, polling
from tests.support.raw_http import exchange, head, upgrade
from tests.support.replica import Replica, Replicas
from tests.support.waiting import until
from tests.support.websocket import websocket

UPGRADE = "/socket.io/?EIO=4&transport=websocket&sid="
POLLING = "/socket.io/?EIO=4&transport=polling&sid="
FEW = 3
NAME = "elsewher"
SID = NAME + "A" * 20
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"


class Impostor:
    """Stands at an address in the place of a process: answers what it is told to, and notes what it got."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.got = b""
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while data := await reader.read(1 << 16):
                self.got += data
                if self.answer and b"\r\n\r\n" in self.got:
                    writer.write(self.answer)
                    self.answer = b""
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def impostor(client: redis.asyncio.Redis, answer: bytes) -> AsyncIterator[Impostor]:
    """Put one where the replicas look for the process of `SID`."""
    fake = Impostor(answer)
    server = await asyncio.start_server(fake.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await client.set(KEY + NAME, json.dumps({"url": f"http://127.0.0.1:{port}", "socket": "", "host": ""}))
    async with server:
        yield fake


async def ask(port: int, tail: bytes = b"") -> bytes:
    """Ask for a websocket of `SID`; return all that comes until the connection ends."""
    odd = {"X-Odd": "y", "X-Forwarded-For": "203.0.113.9"}
    return await exchange(port, head("GET", UPGRADE + SID, upgrade() | odd) + tail)


@pytest.fixture
def replica(redis_server: EmbeddedRedis, replicas: Replicas) -> Replica:
    return replicas(redis_server.url, GATEWAY_CONNECT_TIMEOUT_S="1")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\nX-Inside: 1\r\n\r\n{}GET /", 400),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200),
        (SWITCHED + b"Sec-WebSocket-Accept: AAAA\r\n\r\nleaked", 503),
        (SWITCHED + b"\r\nleaked", 503),
        (b"nonsense\r\n\r\n", 503),
        *((b"HTTP/1.1 200 OK\r\nContent-Length: %b\r\n\r\n" % length, 503) for length in (b"-1", b"99999999")),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, 503),
        (b"", 503),
    ],
)
async def test_no_byte_goes_through_before_the_other_process_has_switched(
    replica: Replica, redis_client: redis.asyncio.Redis, answer: bytes, status: int
) -> None:
    async with impostor(redis_client, answer) as fake:
        got = await ask(replica.port, b"GET /metrics HTTP/1.1\r\nHost: inside\r\n\r\n")
        await until(lambda: not fake.open, what="the way there to be closed")
    assert got.startswith(f"HTTP/1.1 {status} ".encode()), got
    assert got.count(b"HTTP/1.1") == 1
    assert b"Connection: close" in got
    for mark in (b"leaked", b"more", b"X-Inside", b"GET /"):
        assert mark not in got
    # What a session looks at goes there, and nothing else that the client says.
    assert fake.got.count(b"\r\n\r\n") == 1
    assert fake.got.endswith(b"\r\n\r\n")
    for mark in (b"metrics", b"X-Odd", b"Forwarded-For"):
        assert mark not in fake.got
    assert page_of(replica)("gateway_tunnels") == 0


@pytest.mark.parametrize(
    "entry",
    [
        *({"url": url, "socket": "", "host": ""} for url in ("http://127.0.0.1:99999", "http://[::1", "", 7)),
        *({"url": url, "socket": "", "host": ""} for url in ("ftp://127.0.0.1", "http://127.0.0.1:1/elsewhere")),
        *({}, []),
    ],
)
async def test_an_entry_that_says_nowhere_is_nobodys(
    replica: Replica, redis_client: redis.asyncio.Redis, entry: object
) -> None:
    await redis_client.set(KEY + NAME, json.dumps(entry))
    async with websocket(replica.port, target=UPGRADE + SID) as peer:
        assert peer.status == 400
    for _ in range(3):
        assert (await asyncio.to_thread(request, replica.url + POLLING + SID))[0] == 400
    assert not replica.log_lines("http_handler_failed")
    assert len(replica.log_lines("peer_unreadable")) >= 1


@pytest.mark.parametrize(
    "entry",
    [
        {"url": "http://127.0.0.1:1", "socket": "\0", "host": os.uname().nodename},
        {"url": "http://a b:80", "socket": "", "host": ""},
        {"url": "https://127.0.0.1:1", "socket": "/nowhere", "host": os.uname().nodename},
    ],
)
async def test_where_nobody_can_be_reached_is_unavailable(
    replica: Replica, redis_client: redis.asyncio.Redis, entry: object
) -> None:
    await redis_client.set(KEY + NAME, json.dumps(entry))
    async with websocket(replica.port, target=UPGRADE + SID) as peer:
        assert peer.status == 503
    assert (await asyncio.to_thread(request, replica.url + POLLING + SID))[0] == 503
    assert not replica.log_lines("http_handler_failed")


@pytest.fixture
def pair(redis_server: EmbeddedRedis, replicas: Replicas) -> list[Replica]:
    """Two replicas behind what would be a proxy, with limits."""
    limits = {
        "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
        "GATEWAY_MAX_SOCKETS_PER_ADDRESS": str(FEW),
        "GATEWAY_CONNECT_TIMEOUT_S": "2",
    }
    return [replicas(redis_server.url, **limits) for _ in range(2)]


async def test_each_is_a_connect_of_its_clients_address(pair: list[Replica]) -> None:
    holder, way = pair
    async with AsyncExitStack() as stack:
        sids = [await polling_from(holder.port, f"203.0.113.{number}") for number in range(FEW + 3)]
        client = {"X-Forwarded-For": "198.51.100.7"}
        statuses = []
        for sid in sids:
            peer = await stack.enter_async_context(websocket(way.port, target=UPGRADE + sid, headers=client))
            statuses.append(peer.status)
        assert statuses == [101] * FEW + [503] * 3
        assert page_of(way)("gateway_tunnels") == FEW
        another = {"X-Forwarded-For": "198.51.100.8"}
        peer = await stack.enter_async_context(websocket(way.port, target=UPGRADE + sids[-1], headers=another))
        assert peer.status == 101
        # Nobody of them authenticates: the process that holds the sessions ends them.
        await until(lambda: page_of(way)("gateway_tunnels") == 0, what="the tunnels to end")
    (line, *_) = way.log_lines("connect_limited")
    assert (line["limit"], line["remote"]) == ("max_sockets_per_address", "198.51.100.7")


async def polling_from(port: int, address: str) -> str:
    """Open a long-polling session from an address; return its id."""
    async with http_client(headers={"X-Forwarded-For": address}) as http:
        poller = Poller(http, f"http://127.0.0.1:{port}/socket.io/?EIO=4")
        await poller.open()
        return poller.sid


async def test_no_more_of_them_a_second_than_connects(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    holder = replicas(redis_server.url)
    way = replicas(redis_server.url, GATEWAY_CONNECTS_PER_S="0.001", GATEWAY_MAX_PENDING_CONNECTS="1000")
    statuses = []
    async with polling(holder.port, "/socket.io/") as poller:
        for _ in range(20):
            async with websocket(way.port, target=UPGRADE + poller.sid) as peer:
                statuses.append(peer.status)
    assert statuses == [101] + [503] * 19


async def test_those_of_strangers_are_pending(redis_server: EmbeddedRedis, replicas: Replicas) -> None:
    holder = replicas(redis_server.url)
    way = replicas(redis_server.url, GATEWAY_MAX_PENDING_CONNECTS=str(FEW))
    async with AsyncExitStack() as stack:
        statuses = []
        for _ in range(FEW + 2):
            poller = await stack.enter_async_context(polling(holder.port, "/socket.io/"))
            peer = await stack.enter_async_context(websocket(way.port, target=UPGRADE + poller.sid))
            statuses.append(peer.status)
        assert statuses == [101] * FEW + [503] * 2


async def test_a_client_that_stays_does_not_keep_one_that_has_ended(pair: list[Replica]) -> None:
    holder, way = pair
    async with polling(holder.port, "/socket.io/") as poller:
        target = UPGRADE + poller.sid
        async with websocket(way.port, target=target) as peer, websocket(way.port, target=target) as second:
            assert (peer.status, second.status) == (101, 101)
            await until(lambda: page_of(way)("gateway_tunnels") == 0, what="the tunnels to end")


def test_what_checks_certificates_is_made_once_and_not_in_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    real = ssl.create_default_context

    def create() -> ssl.SSLContext:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        made.append(None)
        return real()

    monkeypatch.setattr(ssl, "create_default_context", create)

    async def ask_for_it() -> None:
        one = Tls()
        peer = Peer("https://there", "")
        contexts = await asyncio.gather(*(one.context(peer) for _ in range(50)))
        assert len(set(map(id, contexts))) == len(made) == 1
        assert await one.context(Peer("http://there", "")) is None
        assert await one.context(Peer("https://there", "/its/own")) is None

    asyncio.run(ask_for_it())
