"""No stream that everything has to go through: each room has its own, each organization its own slot."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation, wire
from publisher.rooms import Room
from tests.support.client import Clients
from tests.support.publisher_process import PublisherProcess, Publishers
from tests.support.replica import Replica
from tests.support.tenant import Tenant

SLOTS, MASTERS = 16_384, 3
BURST = 3_000
AT_ONCE = 250


async def test_each_room_has_a_stream_of_its_own_with_its_own_events_alone(
    redis_client: redis.asyncio.Redis, redis_server: EmbeddedRedis, publishers: Publishers
) -> None:
    tenants = [Tenant() for _ in range(3)]
    backend = publishers(redis_server.url)
    expected = {}
    for tenant in tenants:
        for talk in (tenant.conversation, tenant.alice):
            await backend.acall("emit", tenant.id, "test:event", talk, to=conversation(talk))
            expected[wire.log_key(tenant.id, conversation(talk))] = f'["test:event","{talk}"]'.encode()
    streams = {key.decode() async for key in redis_client.scan_iter(_type="STREAM")}
    assert streams == set(expected)
    for key, body in expected.items():
        entries: Any = await redis_client.xrange(key)
        assert [fields[wire.LogField.BODY] for _, fields in entries] == [body]


async def test_organizations_spread_over_the_masters_of_a_cluster_each_with_all_it_has_in_one(
    redis_client: redis.asyncio.Redis,
) -> None:
    masters: Counter[int] = Counter()
    for _ in range(300):
        tenant = Tenant()
        room = Room(conversation(tenant.conversation))
        names = (
            wire.meta_key(tenant.id),
            wire.log_key(tenant.id, room),
            wire.channel(tenant.id, room),
            wire.once_key(tenant.id, "message:new:1"),
            wire.notices_channel(tenant.id),
        )
        slots = {await redis_client.cluster("KEYSLOT", name) for name in names}
        assert len(slots) == 1
        masters[slots.pop() * MASTERS // SLOTS] += 1
    # A hundred each; a fair coin is further off than this once in a million.
    assert all(60 < masters[number] < 140 for number in range(MASTERS)), masters


async def test_one_organization_at_full_speed_does_not_hold_up_another(
    replica: Replica, clients: Clients, backend: PublisherProcess, worker: PublisherProcess
) -> None:
    asyncio.get_running_loop().set_debug(False)
    busy, quiet = Tenant(), Tenant()
    flooded, waiting = [await clients(replica.url, tenant.token()).connect() for tenant in (busy, quiet)]
    await flooded.join(busy.conversation)
    await waiting.join(quiet.conversation)
    room, body = conversation(busy.conversation), "x" * 100

    async def flood() -> None:
        for first in range(0, BURST, AT_ONCE):
            numbers = range(first, first + AT_ONCE)
            sent = [backend.send("emit", busy.id, "test:event", {"n": n, "body": body}, to=room) for n in numbers]
            await asyncio.gather(*map(asyncio.wrap_future, sent))

    flooding = asyncio.create_task(flood())
    await flooded.wait_for("test:event")
    for number in range(10):
        await worker.acall("emit", quiet.id, "test:event", number, to=conversation(quiet.conversation))
    await waiting.wait_for("test:event", count=10)
    assert len(flooded.named("test:event")) < BURST, "the flood was over before it was of any use here"
    await flooding
    await flooded.wait_for("test:event", count=BURST)
    assert [event.data["n"] for event in flooded.named("test:event")] == list(range(BURST))
    assert [event.data for event in waiting.named("test:event")] == list(range(10))
