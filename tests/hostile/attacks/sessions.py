"""Sockets that are opened and not used as they should be."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping

from tests.hostile.attacker import end_of, opening, say
from tests.hostile.cases import Stage, case
from tests.support.polling import polling
from tests.support.tokens import mint
from tests.support.waiting import until
from tests.support.websocket import HandshakeRefused

PATH = "/socket.io/"
MOST_FROM_ONE = 20
FEW = {"GATEWAY_MAX_SOCKETS_PER_ADDRESS": str(MOST_FROM_ONE)}
# None of them makes room for another by being given up, however long it takes to open them.
METERED = {
    "GATEWAY_CONNECTS_PER_S": "200",
    "GATEWAY_MAX_PENDING_CONNECTS": "150",
    "GATEWAY_CONNECT_TIMEOUT_S": "60",
}
# Fewer than any machine opens.
STORM_PER_S = 50
STORM = METERED | {"GATEWAY_CONNECTS_PER_S": str(STORM_PER_S)}


@case(
    "300 sockets that never authenticate, or were refused, and answer their pings",
    row="16",
    plain="never closed",
    log_kib=60,
)
async def never_authenticated(stage: Stage) -> None:
    refused = "40" + json.dumps({"token": mint(type="refresh")})

    async def attack(first: str | bytes) -> float:
        return (await end_of(opening(stage.port), first)).after_s

    async def poll() -> float:
        began = stage.now()
        async with polling(stage.port, PATH) as poller:
            while True:
                status, body = await poller.poll()
                if status != 200 or body == "1":
                    return stage.now() - began
                await poller.post("3")

    third = stage.times(100, 20)
    attacks = [*(attack(b"") for _ in range(third)), *(attack(refused) for _ in range(third))]
    after_s = await asyncio.gather(*attacks, *(poll() for _ in range(third)))
    stage.closed = f"{len(after_s)} of {third * 3} closed, the last after {max(after_s):.1f} s"


async def _status(stage: Stage, stack: contextlib.AsyncExitStack, headers: Mapping[str, str] | None = None) -> int:
    """Open a websocket, which stays open; return the status."""
    try:
        return (await stack.enter_async_context(opening(stage.port, headers))).status
    except HandshakeRefused as refused:
        return refused.status


@case("sockets by the thousand that are opened and never authenticate",
      settings=METERED, log_kib=60)  # fmt: skip
async def pending_sockets(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as stack:
        statuses = [await _status(stage, stack) for _ in range(stage.times(1000, 200))]
        with contextlib.suppress(HandshakeRefused):
            async with stage.client():
                pass
        stage.closed = f"{statuses.count(101)} opened of {len(statuses)}, 503 for the others"
        assert statuses.count(101) <= 150


@case("a storm of 5,000 connections", settings=STORM, log_kib=200)
async def connection_storm(stage: Stage) -> None:
    seen: list[int] = []

    async def attack() -> None:
        try:
            async with opening(stage.port):
                seen.append(101)
        except HandshakeRefused as refused:
            seen.append(refused.status)
        except (asyncio.IncompleteReadError, ConnectionError):
            seen.append(0)

    began = stage.now()
    for _ in range(stage.times(50, 10)):
        await asyncio.gather(*(attack() for _ in range(100)))
    took_s = stage.now() - began
    stage.closed = f"{seen.count(101)} opened in {took_s:.1f} s, {seen.count(503)} times 503 with Retry-After"
    assert seen.count(101) <= STORM_PER_S * (took_s + 1.5)
    assert seen.count(503)
    # The kernel may turn a few away by itself, where it has no room left in its queues.
    assert seen.count(0) <= len(seen) / 100, f"{seen.count(0)} were closed without an answer"


@case("connections on which nothing is ever said, 300")
async def silent_connections(stage: Stage) -> None:
    count, files = stage.times(300, 50), stage.arena.files()
    began = stage.now()
    await asyncio.gather(*(say(stage.port) for _ in range(count)))
    stage.closed = f"all closed after {stage.now() - began:.1f} s"
    await until(lambda: stage.arena.files() <= files + 2, what="the files to be closed")


@case("40 sockets from one address, each with another X-Forwarded-For", settings=FEW, log_kib=40)
async def forged_addresses(stage: Stage) -> None:
    statuses = []
    async with contextlib.AsyncExitStack() as stack:
        for i in range(40):
            headers = {
                "X-Forwarded-For": f"203.0.113.{i}",
                "X-Real-IP": f"203.0.113.{i}",
                "Forwarded": f"for=203.0.113.{i}",
                "X-Gateway-Passed-On": f"1;{i};1;203.0.113.{i}",
            }
            statuses.append(await _status(stage, stack, headers))
    assert statuses.count(101) <= MOST_FROM_ONE
    stage.closed = f"{statuses.count(101)} opened, 503 for the others: no proxy is trusted"
