"""Real servers for the tests: a Valkey of one's own for each test, started in some 30 ms.

`redis_server` keeps nothing on disk: after `stop()` or `kill()` and `start()` it is the same address, empty.
`lasting_redis_server` keeps everything (appendonly, synced at every write) and comes back with its data.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis

RedisServers = Callable[..., EmbeddedRedis]


@pytest.fixture
def redis_servers(tmp_path: Path) -> Iterator[RedisServers]:
    """Start any number of servers: `redis_servers(persist=True, options=("--maxmemory", "10mb"))`."""
    started: list[EmbeddedRedis] = []

    def start(*, persist: bool = False, options: tuple[str, ...] = (), port: int | None = None) -> EmbeddedRedis:
        folder = tmp_path / f"redis-{len(started)}"
        folder.mkdir()
        server = EmbeddedRedis(port, folder=folder, persist=persist, options=options)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.kill()
        server.close()


@pytest.fixture
def redis_server(redis_servers: RedisServers) -> EmbeddedRedis:
    """A fresh, empty server."""
    return redis_servers()


@pytest.fixture
def lasting_redis_server(redis_servers: RedisServers) -> EmbeddedRedis:
    """A fresh server that has its data again after a restart, also after SIGKILL."""
    return redis_servers(persist=True)


@pytest_asyncio.fixture
async def redis_client(redis_server: EmbeddedRedis) -> AsyncIterator[redis.asyncio.Redis]:
    """A client of `redis_server`, giving bytes."""
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        yield client


@pytest.fixture(scope="module")
def shared_redis_server() -> Iterator[EmbeddedRedis]:
    """One server for a whole module, for tests that keep to tenants of their own."""
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="session")
def stage_redis() -> Iterator[EmbeddedRedis]:
    """The Redis that the tests of a folder share, each with a tenant of its own; the folder's conftest has it."""
    with EmbeddedRedis() as server:
        yield server
