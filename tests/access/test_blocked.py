"""`leave_room(..., block_s=...)`: a user is held off a room, on every replica, with nobody to ask about joins."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import redis.asyncio

from gateway.access import Everyone
from gateway.core.model import Identity
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.errors import Refused
from gateway.sessions.keys import session_key
from gateway.sockets.room_access import RoomAccess
from publisher import AsyncPublisher, conversation
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until

MINUTE = 60.0


@pytest.fixture(scope="module")
def pair(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> list[Replica]:
    # Two, not one twice.
    return [shared_replicas(shared_redis_server.url, GATEWAY_ROOM_LINGER_S=str(number)) for number in (1, 2)]


async def said(client: RawClient, ident: str) -> str:
    """Try to join; return `ok` or the code."""
    answer = await client.call("join_conversation", {"conversation_id": ident})
    return "ok" if answer["ok"] else str(answer["error"]["code"])


async def test_who_is_blocked_may_join_on_no_replica_and_by_no_reconnect(
    clients: Clients, pair: list[Replica], shared_redis_server: EmbeddedRedis
) -> None:
    user, org, talk, other = (new_id() for _ in range(4))
    tabs = [await clients(replica.url, mint(user, org)).connect() for replica in pair]
    colleague = await clients(pair[0].url, mint(new_id(), org)).connect()
    for client in (*tabs, colleague):
        assert await said(client, talk) == "ok"
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        await events.leave_room(org, user, conversation(talk), block_s=MINUTE)
        for tab in tabs:
            await tab.wait_for("left_conversation")
            assert await said(tab, talk) == "forbidden"
            assert await said(tab, other) == "ok"
        for tab, replica in zip(tabs, reversed(pair), strict=True):
            tab.drop()
            await tab.reconnect(replica.url)
            assert tab.recovered
            assert await said(tab, talk) == "forbidden"
        fresh = await clients(pair[1].url, mint(user, org)).connect()
        assert await said(fresh, talk) == "forbidden"
        assert await said(colleague, talk) == "ok"
        await events.leave_room(org, user, conversation(talk), block_s=0)
        assert await said(fresh, talk) == "ok"


async def test_it_ends_by_itself(
    clients: Clients, pair: list[Replica], shared_redis_server: EmbeddedRedis
) -> None:
    user, org, talk = new_id(), new_id(), new_id()
    client = await clients(pair[0].url, mint(user, org)).connect()
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        await events.leave_room(org, user, conversation(talk), block_s=1.0)

    async def joins() -> bool:
        return await said(client, talk) == "ok"

    await until(joins, what="the block to end")


async def test_without_it_the_next_join_is_allowed(
    clients: Clients, pair: list[Replica], shared_redis_server: EmbeddedRedis
) -> None:
    user, org, talk = new_id(), new_id(), new_id()
    client = await clients(pair[0].url, mint(user, org)).connect()
    assert await said(client, talk) == "ok"
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        await events.leave_room(org, user, conversation(talk))
    await client.wait_for("left_conversation")
    assert await said(client, talk) == "ok"


async def test_a_recovery_does_not_give_back_what_a_late_join_has_written(
    clients: Clients, pair: list[Replica], shared_redis_server: EmbeddedRedis
) -> None:
    user, org, talk = new_id(), new_id(), new_id()
    client = await clients(pair[0].url, mint(user, org)).connect()
    assert await said(client, talk) == "ok"
    client.drop()
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        await events.leave_room(org, user, conversation(talk), block_s=MINUTE)
    assert client.pid is not None
    # As a join writes it that was under way, and whose replica was killed before it heard of the block.
    async with redis.asyncio.Redis.from_url(shared_redis_server.url) as written:
        await written.hset(session_key(org, client.pid), f"r:{conversation(talk)}", str(2**52))
    await client.reconnect(pair[1].url)
    assert client.recovered
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": talk}
    answer = await client.call("typing_start", {"conversation_id": talk})
    assert answer["error"]["code"] == "not_joined"


async def test_a_join_that_is_under_way_is_looked_at_again() -> None:
    blocked: set[Any] = set()
    identity, room = Identity(new_id(), new_id(), "agent", 0.0), conversation(new_id())

    async def look(tenant: str, user_id: str, rooms: list[Any]) -> set[Any]:
        return blocked & set(rooms)

    access = Everyone()
    room_access = RoomAccess(SimpleNamespace(access=access, sessions=SimpleNamespace(blocked=look)))  # type: ignore[arg-type]
    member: Any = SimpleNamespace(identity=identity)
    changes = await room_access.check(member, room, was_in=False)
    blocked.add(room)
    access.invalidate(identity.tenant, identity.user_id, room)
    with pytest.raises(Refused) as caught:
        await room_access.check_again(member, room, changes, was_in=False)
    assert caught.value.code == "forbidden"
