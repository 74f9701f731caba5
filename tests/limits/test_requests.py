"""Requests that do not come to an end, or are too large, against a running gateway.

The rest is in `tests/engine/test_http_limits.py` and `tests/engine/test_http_sizes.py`.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.engine.line import line
from tests.limits.conftest import SOCKETIO, limited
from tests.support.client import Clients
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint
from tests.support.waiting import SLACK_S, until

TIMEOUT_S = 1.0
GET = f"GET {SOCKETIO}polling HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    return shared_replicas(
        shared_redis_server.url, GATEWAY_REQUEST_TIMEOUT_S=str(TIMEOUT_S), GATEWAY_MAX_HEADER_BYTES="8192"
    )


async def test_two_hundred_connections_without_a_request_are_closed_in_time(
    replica: Replica, clients: Clients
) -> None:
    good = await clients(replica.url, mint()).connect()
    before = limited(replica).get("request_timeout_s", 0)

    async def silent(first: bytes) -> None:
        async with line(replica.port) as connection:
            connection.send(first)
            await connection.ended()

    began = time.monotonic()
    await asyncio.gather(*(silent(b"" if number % 2 else GET) for number in range(200)))
    assert TIMEOUT_S * 0.9 < time.monotonic() - began < TIMEOUT_S + SLACK_S
    assert limited(replica)["request_timeout_s"] == before + 200
    assert (await good.call("ping"))["ok"]


async def test_a_head_that_drips_is_answered_with_the_limit(replica: Replica) -> None:
    async with line(replica.port) as slow:
        slow.send(GET)
        dripping = asyncio.create_task(slow.drip())
        status, body = await slow.answer()
        dripping.cancel()
    assert (status, body["limit"]) == (408, "request_timeout_s")


@pytest.mark.parametrize("path", [f"{SOCKETIO}polling", "/health", "/nowhere"])
async def test_a_head_that_is_too_large_is_refused_wherever_it_goes(replica: Replica, path: str) -> None:
    async with line(replica.port) as large:
        large.send(f"GET {path} HTTP/1.1\r\nHost: x\r\nX: {'x' * 9000}\r\n\r\n".encode())
        status, body = await large.answer()
    assert (status, body["limit"]) == (431, "max_header_bytes")


async def test_idle_connections_are_kept_for_longer_than_a_request_may_take(replica: Replica) -> None:
    async with line(replica.port) as idle, line(replica.port) as silent:
        idle.send(GET + b"\r\n")
        assert (await idle.answer())[0] == 200
        await silent.ended()
        async with line(replica.port) as another:
            await another.ended()
        idle.send(GET + b"\r\n")
        assert (await idle.answer())[0] == 200


async def test_nonsense_on_the_port_is_one_answer_and_no_line(replica: Replica) -> None:
    before = len(replica.log_text())
    for nonsense in (
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\r\n" * 20_000,
        b"GET\r\n\r\n",
        bytes(9000),
        b"PRI * HTTP/2.0\r\n\r\n",
    ):
        async with line(replica.port) as stranger:
            stranger.send(nonsense)
            assert b"Traceback" not in await stranger.ended()
    await until(lambda: replica.get("/health")[0] == 200)
    assert len(replica.log_text()) == before
