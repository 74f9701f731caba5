"""A Redis that comes back without its last writes: what sockets do here is written again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import wire
from tests.recovery.conftest import Join, Team, numbers
from tests.support.client import RawClient
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica
from tests.support.tokens import new_id
from tests.support.waiting import until


class Loser:
    """Takes a tenant's keys back to an earlier moment, as a failover to a replica that was behind does."""

    def __init__(self, client: redis.asyncio.Redis, team: Team) -> None:
        self._client: Any = client
        self._prefix = wire.prefix(team.id)
        self._kept: dict[bytes, tuple[int, bytes]] = {}

    async def remember(self) -> None:
        """Take down the keys."""
        self._kept = {}
        for key in await self._keys():
            self._kept[key] = await self._client.pttl(key), await self._client.dump(key)

    async def lose(self) -> None:
        """Bring the keys back as they were, and end all connections of gateways."""
        await self._client.delete(*await self._keys())
        for key, (ttl_ms, value) in self._kept.items():
            await self._client.restore(key, max(ttl_ms, 0), value)
        for kind in ("normal", "pubsub"):
            await self._client.client_kill_filter(_type=kind)

    async def rooms_of_sessions(self) -> set[str]:
        """Return the conversations in sessions."""
        fields = [field for key in await self._keys("session:*") for field in await self._client.hkeys(key)]
        return {field.decode().partition(":")[2] for field in fields if field.startswith(b"r:conversation:")}

    async def viewers(self, talk: str) -> int:
        """Return the number of sockets that look at a conversation."""
        return int(await self._client.zcard(f"{self._prefix}viewers:conversation:{talk}"))

    async def _keys(self, pattern: str = "*") -> list[bytes]:
        # The prefix has no characters that are special in a pattern.
        found: list[Any] = await self._client.keys(self._prefix + pattern)
        return found


@pytest_asyncio.fixture
async def loser(stage_redis: EmbeddedRedis, team: Team) -> AsyncIterator[Loser]:
    async with redis.asyncio.Redis.from_url(stage_redis.url) as client:
        yield Loser(client, team)


async def moved(client: RawClient, old: str, new: str) -> None:
    """Have a client go from one conversation to another."""
    await client.join(new)
    await client.call("leave_conversation", {"conversation_id": old})


async def test_a_lost_join_and_a_lost_leave_are_written_again(
    agent: Join, team: Team, loser: Loser, replica_pair: list[Replica], backend: PublisherProcess
) -> None:
    client, new = await agent(replica_pair[0].url), Team(team.id)
    await loser.remember()
    await moved(client, team.talk, new.talk)
    await loser.lose()

    async def is_as_here() -> bool:
        return (await loser.rooms_of_sessions()) == {f"conversation:{new.talk}"}

    await until(is_as_here)
    assert (await loser.viewers(team.talk), await loser.viewers(new.talk)) == (0, 1)
    client.drop()
    await team.note(backend, 1)
    await new.note(backend, 2)
    await client.reconnect(replica_pair[1].url)
    assert (await client.wait_for("connected", count=2)).data["recovered"]
    assert numbers(client) == [2]


async def test_a_lost_connect_is_written_again(
    agent: Join, team: Team, loser: Loser, replica_pair: list[Replica], backend: PublisherProcess
) -> None:
    await agent(replica_pair[0].url)
    await loser.remember()
    late = await agent(replica_pair[0].url, new_id())
    await loser.lose()

    async def are_both_there() -> bool:
        return await loser.viewers(team.talk) == 2

    await until(are_both_there)
    late.drop()
    await team.note(backend, 1)
    await late.reconnect(replica_pair[1].url)
    assert (await late.wait_for("connected", count=2)).data["recovered"]
    assert numbers(late) == [1]


async def test_typing_that_redis_has_forgotten_ends_all_the_same(
    agent: Join, team: Team, loser: Loser, replica_pair: list[Replica]
) -> None:
    typist, reader = await agent(replica_pair[0].url), await agent(replica_pair[1].url, new_id())
    await loser.remember()
    typist.emit("typing_start", {"conversation_id": team.talk})
    await reader.wait_for("user_typing")
    await loser.lose()
    await until(lambda: reader.named("user_typing")[-1].data["typing"] is False)
