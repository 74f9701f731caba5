"""Two replicas with short times, an office of people, and the pages by which they are there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.recovery.conftest import behind_proxy
from tests.redis.conftest import commands, limits, redis_proxy, source
from tests.support.browsers import Browser
from tests.support.client import Clients, RawClient
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, Replicas, replica_factory
from tests.support.tokens import mint, new_id

__all__ = ["behind_proxy", "commands", "limits", "redis_proxy", "source", "stage_redis"]

LEASE_S, GRACE_S, TYPING_S = 6.0, 2.5, 2.0
TIMES = {
    "GATEWAY_PRESENCE_LEASE_S": str(LEASE_S),
    "GATEWAY_PRESENCE_GRACE_S": str(GRACE_S),
    "GATEWAY_TYPING_TIMEOUT_S": str(TYPING_S),
}


@dataclass
class Office:
    """An organization with three agents and a conversation, all of the test's own."""

    id: str = field(default_factory=new_id)
    ann: str = field(default_factory=new_id)
    bob: str = field(default_factory=new_id)
    cid: str = field(default_factory=new_id)
    talk: str = field(default_factory=new_id)

    def token(self, user: str) -> str:
        """Mint a token for one of them."""
        return mint(user, self.id)

    def typing(self, user: str, now: bool) -> dict[str, Any]:
        """Return what others are told of somebody's typing."""
        return {"conversation_id": self.talk, "user_id": user, "typing": now}

    def viewers(self, *users: str, sockets: int) -> Callable[[Any], bool]:
        """Return whether an event's data names these users as looking at the conversation."""
        return lambda data: (
            data["conversation_id"] == self.talk
            and sorted(data["user_ids"]) == sorted(users)
            and data["sockets"] == sockets
        )


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture(scope="package")
def pair(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Two replicas that nobody is to break."""
    for start in replica_factory(tmp_path_factory.mktemp("people")):
        yield [start(stage_redis.url, **TIMES), start(stage_redis.url, **TIMES)]


@pytest.fixture
def own_pair(redis_server: EmbeddedRedis, replicas: Replicas) -> list[Replica]:
    """Two replicas that may be broken."""
    return [replicas(redis_server.url, **TIMES), replicas(redis_server.url, **TIMES)]


Connect = Callable[..., Awaitable[RawClient]]


@pytest_asyncio.fixture
async def connect(clients: Clients, office: Office) -> AsyncIterator[Connect]:
    """Connect somebody: `await connect(url, office.ann, join=True)`."""

    async def connected(url: str, user: str, *, join: bool = False, **options: Any) -> RawClient:
        client: RawClient = await clients(url, office.token(user), **options).connect()
        await client.wait_for("connected")
        if join:
            await client.join(office.talk)
        return client

    yield connected


def statuses(page: Browser | RawClient) -> list[tuple[str, str]]:
    """Return who a page was told to be online or offline, one by one or together, in order."""
    told: list[tuple[str, str]] = []
    if isinstance(page, RawClient):
        events = [(event.name, event.data) for event in page.events]
    else:
        events = [(report["event"], report["args"][0]) for report in page.seen("event")]
    for name, data in events:
        if name == "user:status":
            told.append((data["user_id"], data["status"]))
        elif name == "user:statuses":
            told += [(user, status) for status in ("online", "offline") for user in data[status]]
    return told


def is_told(page: Browser | RawClient, user: str, status: str, times: int = 1) -> Callable[[], bool]:
    """Return whether a page was told so, for `until`."""
    return lambda: statuses(page).count((user, status)) >= times
