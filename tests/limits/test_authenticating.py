"""Who does not authenticate is not kept, whatever else it does."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.limits.conftest import limited
from tests.support.client import Clients
from tests.support.polling import polling
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint
from tests.support.waiting import SLACK_S, until
from tests.support.websocket import Peer, opened

# A busy machine may take a second for what a client does before.
TIMEOUT_S = 3.0


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    return shared_replicas(
        shared_redis_server.url,
        GATEWAY_CONNECT_TIMEOUT_S=str(TIMEOUT_S),
        GATEWAY_PING_INTERVAL_S="0.2",
        GATEWAY_PING_TIMEOUT_S="60",
    )


RESET = 0
"""Stands for the close code where the connection was reset: the client was too busy to answer the close."""


async def stay(peer: Peer, first: str | None = None) -> int:
    """Answer every ping until the server closes; return its close code, or `RESET`."""
    if first is not None:
        peer.send(first)
    try:
        return await peer.close_code(pongs=True)
    except ConnectionResetError:
        return RESET


async def test_three_hundred_sockets_that_never_authenticate_or_were_refused_are_closed(
    replica: Replica, clients: Clients
) -> None:
    good = await clients(replica.url, mint()).connect()
    before = limited(replica).get("connect_timeout_s", 0)
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(opened(replica.port, path="/socket.io/")) for _ in range(300)]
        firsts = [None, '40{"token":"nonsense"}', "40"]
        began = time.monotonic()
        staying = [stay(peer, firsts[number % 3]) for number, peer in enumerate(peers)]
        codes = await asyncio.gather(*staying)
        assert set(codes) <= {1008, RESET}
        assert 1008 in codes
        assert time.monotonic() - began < TIMEOUT_S + SLACK_S
        closed = [peer for peer, code in zip(peers, codes, strict=True) if code == 1008]
        assert {peer.reason for peer in closed} == {"not authenticated in time"}
    await until(lambda: "gateway_engine_sessions 1.0" in replica.get("/metrics")[1])
    assert limited(replica)["connect_timeout_s"] == before + 300
    assert good.connected


async def test_long_polling_makes_no_difference(replica: Replica) -> None:
    async with polling(replica.port, "/socket.io/") as client:
        await client.post('40{"token":"nonsense"}')
        await client.poll_until("1")
        assert (await client.poll())[0] == 400


@pytest.mark.parametrize("then", ['2["ping"]', "3123[]", '2/elsewhere,["ping"]', "1", "\x00", '51-["x"]'])
async def test_a_refused_socket_that_goes_on_is_closed_at_once(replica: Replica, then: str) -> None:
    async with opened(replica.port, path="/socket.io/") as peer:
        peer.send('40{"token":"nonsense"}')
        assert "token_invalid" in str(await peer.receive())
        # Were it closed for its time alone, the code would be 1008.
        assert await stay(peer, "4" + then) == 1002


async def test_who_tries_one_token_after_the_other_is_closed(replica: Replica) -> None:
    async with opened(replica.port, path="/socket.io/") as peer:
        for number in range(100):
            peer.send("40" + json.dumps({"token": f"nonsense-{number}"}))
        assert await peer.close_code() == 1008
        assert peer.reason == "refused too often"


async def test_a_refused_client_may_try_again_with_a_better_token(replica: Replica) -> None:
    async with opened(replica.port, path="/socket.io/") as peer:
        peer.send('40{"token":"nonsense"}')
        assert "token_invalid" in str(await peer.receive())
        peer.send("40" + json.dumps({"token": mint()}))
        assert str(await peer.receive()).startswith('40{"sid"')


async def test_who_leaves_its_namespace_and_stays_is_closed_as_well(replica: Replica) -> None:
    async with opened(replica.port, path="/socket.io/") as peer:
        peer.send("40" + json.dumps({"token": mint()}))
        assert str(await peer.receive()).startswith('40{"sid"')
        began = time.monotonic()
        assert await stay(peer, "41") == 1008
        assert time.monotonic() - began < TIMEOUT_S + SLACK_S
