"""What is too large is refused before it is read, and the client sees why."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.engine.reader import BINARY, CONTINUATION, TEXT
from tests.limits.conftest import limited
from tests.support.browsers import Browsers
from tests.support.client import Clients
from tests.support.polling import Poller
from tests.support.raw_http import ask, head
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint
from tests.support.waiting import SLACK_S, until
from tests.support.websocket import Peer, frame_head, opened

MOST = 100_000


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    return shared_replicas(
        shared_redis_server.url,
        GATEWAY_MAX_PAYLOAD_BYTES=str(MOST),
        GATEWAY_REQUEST_TIMEOUT_S="4",
        GATEWAY_EVENTS_PER_S="0",
    )


def begin(opcode: int, size: int, *, fin: bool = True) -> bytes:
    """The head of a client's frame, with a mask that changes nothing."""
    return frame_head(opcode, size, fin=fin) + bytes(4)


@asynccontextmanager
async def member(replica: Replica) -> AsyncIterator[Peer]:
    """A socket that has authenticated; strangers may send even less."""
    async with opened(replica.port, path="/socket.io/") as peer:
        peer.send("40" + json.dumps({"token": mint()}))
        while not str(await peer.receive()).startswith('42["connected"'):
            pass
        yield peer


async def session(http: aiohttp.ClientSession, replica: Replica) -> str:
    """Open a long-polling session that has authenticated; return its address."""
    poller = Poller(http, f"{replica.url}/socket.io/?EIO=4")
    await poller.open()
    await poller.post("40" + json.dumps({"token": mint()}))
    assert (await poller.poll())[1].startswith("40")
    return poller.url


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [MOST + 1, 1 << 62])
async def test_an_oversized_frame_is_refused_by_its_head_alone(replica: Replica, opcode: int, size: int) -> None:
    async with member(replica) as peer:
        peer.raw(begin(opcode, size))
        assert await peer.close_code() == 1009
        assert peer.reason == "message too big"


async def test_nor_does_it_come_in_parts(replica: Replica) -> None:
    async with member(replica) as peer:
        peer.raw(begin(TEXT, MOST - 1, fin=False) + b"4" * (MOST - 1) + begin(CONTINUATION, 2))
        assert await peer.close_code() == 1009


async def test_what_is_sent_all_the_same_takes_no_memory(replica: Replica) -> None:
    async with member(replica) as peer:
        before = replica.memory_kib()
        peer.raw(begin(TEXT, 1 << 40))
        assert await peer.close_code() == 1009
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                peer.raw(bytes(1 << 20))
                await peer.writer.drain()
        assert replica.memory_kib() - before < 5000


async def test_a_message_of_exactly_the_limit_is_taken(clients: Clients, replica: Replica) -> None:
    client = await clients(replica.url, mint()).connect()
    filler = "x" * (MOST - len("421" + json.dumps(["ping", {"x": ""}])))
    assert (await client.call("ping", {"x": filler}))["ok"]
    client.emit("ping", {"x": filler + "xxx"})
    await client.dropped()


@pytest.mark.parametrize("transport", ["websocket", "polling"])
def test_the_browser_sees_the_reason(browsers: Browsers, replica: Replica, transport: str) -> None:
    page = browsers(replica.url, mint(), transports=[transport])
    page.connected()
    page.emit("ping", {"x": "x" * (2 * MOST)})
    gone = page.wait("disconnect")
    if transport == "websocket":
        assert (gone["reason"], gone["code"], gone["said"]) == ("transport close", 1009, "message too big")
    else:
        assert (gone["reason"], gone["code"]) == ("transport error", 413)
    page.connected(times=2)


async def test_a_poll_that_is_too_large_is_answered_with_the_limit(replica: Replica) -> None:
    async with aiohttp.ClientSession() as http:
        url = await session(http, replica)
        async with http.post(url, data=b"4" + bytes(MOST)) as response:
            assert response.status == 413
            said = {"code": 6, "message": "Payload too large", "limit": "max_payload_bytes"}
            assert await response.json() == said


async def test_each_refusal_is_counted(replica: Replica) -> None:
    before = limited(replica).get("max_payload_bytes", 0)
    async with aiohttp.ClientSession() as http, member(replica) as peer:
        await http.post(await session(http, replica), data=bytes(MOST + 1))
        peer.raw(begin(TEXT, MOST + 1))
        await peer.close_code()
    assert limited(replica)["max_payload_bytes"] == before + 2


async def test_a_body_that_does_not_come_is_given_up_in_time(replica: Replica) -> None:
    async with aiohttp.ClientSession() as http:

        async def slowly() -> AsyncIterator[bytes]:
            while True:
                yield b"4"
                await asyncio.sleep(0.05)

        began = time.monotonic()
        async with http.post(await session(http, replica), data=slowly()) as response:
            assert (response.status, (await response.json())["limit"]) == (408, "request_timeout_s")
        assert time.monotonic() - began < SLACK_S


async def test_two_thousand_oversized_posts_leave_nothing_behind(replica: Replica) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50)) as http:
        url = await session(http, replica)
        post = head("POST", url.removeprefix(replica.url), {"Content-Length": str(MOST + 1)}) + b"4x"
        before = replica.memory_kib()
        for _ in range(0, 2000, 50):
            assert set(await asyncio.gather(*(ask(replica.port, post) for _ in range(50)))) == {413}
        await until(lambda: replica.memory_kib() - before < 3000)
        async with http.post(url, data=b'42["ping"]') as response:
            assert response.status == 200
