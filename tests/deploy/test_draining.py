"""SIGTERM, as orchestrators send it: nobody new gets in, the others move over steadily and miss nothing."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from datetime import datetime

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.client import Clients, RawClient
from tests.support.idlers import open_idlers
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import SLACK_S, until
from tests.support.websocket import HandshakeRefused

SOCKETS = 200
GRACE_S = 10.0
# 100 sockets a second at most, and 70 % of the grace.
OVER_S = 2.0
IDLERS = 400


@pytest.fixture
def leaving(redis_server: EmbeddedRedis, replicas: Replicas) -> Replica:
    """The replica that is going to be stopped."""
    return replicas(redis_server.url, GATEWAY_SHUTDOWN_GRACE_S=str(GRACE_S))


@pytest.fixture
def staying(redis_server: EmbeddedRedis, replicas: Replicas) -> Replica:
    """Where its sockets go."""
    return replicas(redis_server.url)


async def crowd(clients: Clients, leaving: Replica, organization: str, conversation: str) -> list[RawClient]:
    """Connect everybody, one in ten by polling, in one conversation."""
    found = []
    for number in range(SOCKETS):
        token = mint(organization_id=organization)
        found.append(clients(leaving.url, token, transport="websocket" if number % 10 else "polling"))
    await asyncio.gather(*(client.connect() for client in found))
    await asyncio.gather(*(client.join(conversation) for client in found))
    return found


async def knock(newcomer: RawClient) -> None:
    while True:
        await newcomer.connect()
        newcomer.drop()


async def turned_away(newcomer: RawClient) -> None:
    """Knock until the answer is 503; before the signal has arrived it is let in."""
    with pytest.raises(HandshakeRefused, match="503"):
        await knock(newcomer)


async def is_alive_but_not_ready(replica: Replica) -> None:
    """Wait until it says so."""
    await until(lambda: asyncio.to_thread(lambda: replica.get("/health/ready")[0] == 503))
    assert (await asyncio.to_thread(replica.get, "/health/live"))[0] == 200


async def gone(everybody: list[RawClient]) -> None:
    """Close them all at once, which one after the other would take its time."""
    await asyncio.gather(*(client.close() for client in everybody))


async def test_a_graceful_shutdown_refuses_newcomers_and_ends_in_time_with_nothing_missed(
    clients: Clients, leaving: Replica, staying: Replica, publishers: Publishers, redis_server: EmbeddedRedis
) -> None:
    organization, conversation = new_id(), new_id()
    everybody = await crowd(clients, leaving, organization, conversation)
    for client in everybody:
        client.stay(staying.url)
    backend = publishers(redis_server.url)
    published: list[str] = []
    await open_idlers(leaving, IDLERS)  # so that a slow machine has six seconds to look at the drain
    leaving.terminate()
    ended = asyncio.create_task(leaving.ended(GRACE_S + SLACK_S))
    await asyncio.gather(turned_away(clients(leaving.url, mint())), is_alive_but_not_ready(leaving))
    while not ended.done():
        published.append(new_id())
        await backend.acall("message_new", organization, {"id": published[-1], "conversation_id": conversation})
        await asyncio.wait((ended,), timeout=0.05)
    assert await ended == 0
    for client in everybody:
        await client.wait_for("message:new", lambda event: event.data["id"] == published[-1])
        assert [event.data["id"] for event in client.named("message:new")] == published
        assert client.recoveries == [True]
    await gone(everybody)


async def test_sockets_are_moved_in_paced_batches(clients: Clients, leaving: Replica, staying: Replica) -> None:
    everybody = await crowd(clients, leaving, new_id(), new_id())
    for client in everybody:
        client.stay(staying.url)
    leaving.terminate()
    assert await leaving.ended(GRACE_S + SLACK_S) == 0
    (draining,) = leaving.log_lines("gateway_draining")
    assert (draining["sockets"], draining["over_s"]) == (SOCKETS, OVER_S)
    lines = leaving.log_lines("socket_disconnected")
    left = sorted(datetime.fromisoformat(line["timestamp"]).timestamp() for line in lines)
    assert len(left) == SOCKETS
    # An even pace would be a tenth of them in a tenth of the time; a stampede all.
    in_a_tenth = max(bisect_right(left, moment + OVER_S / 10) - number for number, moment in enumerate(left))
    assert in_a_tenth < SOCKETS / 3
    await until(lambda: staying.health()["sockets"] == SOCKETS, what="everybody to have moved over")
    await until(lambda: all(client.recoveries for client in everybody))
    assert all(client.recoveries == [True] for client in everybody)
    await gone(everybody)
