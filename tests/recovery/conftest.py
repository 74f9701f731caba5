"""Two replicas behind one Redis and a backend's process, shared by the tests that do no harm to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import Receipt, conversation
from tests.support.client import Clients, RawClient
from tests.support.proxy import Proxy
from tests.support.publisher_process import PublisherProcess, backend
from tests.support.pytake import sent_message
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, alive, replica_factory
from tests.support.tokens import mint, new_id

__all__ = ["backend", "stage_redis"]


@dataclass
class Team:
    """An organization, one of its agents, and a conversation, all of the test's own."""

    id: str = field(default_factory=new_id)
    agent: str = field(default_factory=new_id)
    talk: str = field(default_factory=new_id)

    def token(self, user: str | None = None, **claims: Any) -> str:
        """Mint a token for one of its users, the agent by default."""
        return mint(user or self.agent, self.id, **claims)

    async def say(self, backend: PublisherProcess, text: str, **more: Any) -> Receipt:
        """Publish a message to the conversation."""
        receipt: Receipt = await backend.acall("message_new", self.id, sent_message(self.talk, text), **more)
        return receipt

    async def note(self, backend: PublisherProcess, number: int) -> Receipt:
        """Publish a numbered event to the conversation."""
        data, room = {"n": number}, conversation(self.talk)
        receipt: Receipt = await backend.acall("emit", self.id, "test:event", data, to=room)
        return receipt


def numbers(client: RawClient) -> list[int]:
    """Return the numbers of the numbered events that a client got, in order."""
    return [event.data["n"] for event in client.named("test:event")]


async def comes_back_trimmed(client: RawClient) -> None:
    """Reconnect; the client is told that a part of its history is gone."""
    await client.reconnect()
    greeting = await client.wait_for("connected", count=2)
    assert (greeting.data["recovered"], greeting.data["reason"]) == (False, "trimmed")


async def type_both_ways(one: RawClient, other: RawClient, team: Team) -> None:
    """Have two members of the conversation see each other type."""
    for typist, reader in ((one, other), (other, one)):
        typist.emit("typing_start", {"conversation_id": team.talk})
        await reader.wait_for("user_typing")


@pytest.fixture
def team() -> Team:
    return Team()


@pytest.fixture(scope="package")
def replica_pair(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Two replicas that nobody is to break."""
    for start in replica_factory(tmp_path_factory.mktemp("pair")):
        yield [start(stage_redis.url), start(stage_redis.url)]


Join = Callable[..., Awaitable[RawClient]]


@pytest.fixture
def agent(clients: Clients, team: Team) -> Join:
    """Connect an agent who is in the conversation: `await agent(url, user, transport="polling")`."""

    async def connect(url: str, user: str | None = None, **options: Any) -> RawClient:
        client: RawClient = await clients(url, team.token(user), **options).connect()
        await client.wait_for("connected")
        await client.join(team.talk)
        return client

    return connect


Behind = Callable[..., Awaitable[tuple[Proxy, Replica]]]


@pytest_asyncio.fixture
async def behind_proxy(tmp_path: Path) -> AsyncIterator[Behind]:
    """Start a replica with a proxy between itself and Redis: `proxy, replica = await behind_proxy(redis.port)`.

    The proxy lives on the test's loop, so nothing here waits for the replica without it.
    """
    started: list[tuple[Proxy, Replica]] = []

    async def start(redis_port: int, *, may_log: tuple[str, ...] = ()) -> tuple[Proxy, Replica]:
        proxy = await Proxy(redis_port).start()
        replica = Replica(proxy.url, tmp_path / f"proxied-{len(started)}.log", {}, may_log=may_log)
        started.append((proxy, replica))
        alive.append(replica)
        await replica.restarted()
        return proxy, replica

    yield start
    for proxy, replica in started:
        proxy.resume()
        replica.terminate()
        await replica.ended()
        replica.close()
        await proxy.stop()
