"""A room that nobody watches costs the gateways nothing: by Redis' own counters, not by ours alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Room, conversation, wire
from tests.support.client import Clients
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant, member
from tests.support.tokens import new_id
from tests.support.waiting import until

EVENTS = 100
PAYLOAD = {"text": "x" * 10_000}
"""A hundred of these are a megabyte, far more than the replicas' own probes."""
NOTHING = 50_000


class Meter:
    """What Redis has sent to the replicas, and to how many a publish goes."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._redis: Any = redis.Redis.from_url(server.url, decode_responses=True)

    def subscribers(self, tenant: Tenant, room: Room) -> int:
        """Count the replicas that hear a room."""
        ((_, count),) = self._redis.pubsub_numsub(wire.channel(tenant.id, room))
        return int(count)

    def sent(self) -> dict[str, int]:
        """Return the bytes written to each subscriber so far, by its address."""
        return {
            client["addr"]: int(client["tot-net-out"])
            for client in self._redis.client_list()
            if int(client["sub"]) and client["name"] == "gateway"
        }

    def close(self) -> None:
        self._redis.close()


Stage = tuple[Replica, Replica, PublisherProcess, Meter]


@pytest.fixture(scope="module")
def stage(
    shared_redis_server: EmbeddedRedis, shared_replicas: Replicas, shared_publishers: Publishers
) -> Iterator[Stage]:
    """Two replicas that give rooms up soon, and nobody else."""
    url, soon = shared_redis_server.url, {"GATEWAY_ROOM_LINGER_S": "0.1"}
    meter = Meter(shared_redis_server)
    yield shared_replicas(url, **soon), shared_replicas(url, **soon), shared_publishers(url), meter
    meter.close()


async def _publish(publisher: PublisherProcess, tenant: Tenant, room: Room) -> None:
    for _ in range(EVENTS):
        publisher.send("emit", tenant.id, "message:new", PAYLOAD, to=room)
    await publisher.acall("emit", tenant.id, "message:new", PAYLOAD, to=room)


async def test_no_message_goes_to_a_replica_without_a_member(
    stage: Stage, clients: Clients, tenant: Tenant
) -> None:
    watching, idle, publisher, meter = stage
    client = await member(clients, watching.url, tenant)
    # A page of the same tenant, elsewhere: its own rooms are heard there, the conversation is not.
    await clients(idle.url, tenant.token(tenant.bruno)).connect()
    room = conversation(tenant.conversation)
    assert meter.subscribers(tenant, room) == 1
    before, counts = meter.sent(), idle.health()
    assert len(before) == 2
    await _publish(publisher, tenant, room)
    await client.wait_for("message:new", count=EVENTS + 1)
    grown = sorted(after - before[address] for address, after in meter.sent().items())
    assert grown[0] < NOTHING
    assert grown[1] > EVENTS * 10_000
    assert idle.health()["events"] == counts["events"]
    assert watching.health()["events"] >= EVENTS


async def test_a_room_that_nobody_watches_is_sent_to_nobody(
    stage: Stage, clients: Clients, tenant: Tenant
) -> None:
    one, other, publisher, meter = stage
    await clients(one.url, tenant.token()).connect()
    await clients(other.url, tenant.token()).connect()
    room = conversation(new_id())
    before, counts = meter.sent(), (one.health()["events"], other.health()["events"])
    await _publish(publisher, tenant, room)
    assert meter.subscribers(tenant, room) == 0
    assert all(after - before[address] < NOTHING for address, after in meter.sent().items())
    assert (one.health()["events"], other.health()["events"]) == counts


@pytest.mark.parametrize("leave", ["leaves", "drops"])
async def test_a_room_is_given_up_after_its_last_member(
    stage: Stage, clients: Clients, tenant: Tenant, leave: str
) -> None:
    replica, _, publisher, meter = stage
    client = await member(clients, replica.url, tenant)
    room = conversation(tenant.conversation)
    assert meter.subscribers(tenant, room) == 1
    if leave == "leaves":
        assert (await client.call("leave_conversation", {"conversation_id": tenant.conversation}))["ok"]
    else:
        client.drop()
    await until(lambda: meter.subscribers(tenant, room) == 0, what="the room to be given up")
    before = meter.sent()
    await _publish(publisher, tenant, room)
    assert all(after - before[address] < NOTHING for address, after in meter.sent().items())
    # A socket that stays is still in its user's room and its organization's.
    left = 2 if leave == "leaves" else 0
    await until(lambda: replica.health()["rooms"] == left, what=f"{left} rooms to be left")
