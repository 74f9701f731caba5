"""Two replicas that share a Redis, and pages in front of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.redis.cluster.commands import commands_of, source_of
from gateway.redis.commands import Commands
from tests.deploy.conftest import make_proxy, proxies, proxy_kind
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica, Replicas
from tests.support.tenant import Tenant

__all__ = ["Tenant", "make_proxy", "proxies", "proxy_kind"]

Trio = list[Replica]
MAX_BODY_BYTES = 8_000_000
ORIGIN = "https://app.example.com"


@pytest.fixture(scope="module")
def trio(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Trio:
    """Three replicas, which take bodies of up to `MAX_BODY_BYTES`."""
    settings = {"GATEWAY_CORS_ORIGINS": ORIGIN, "GATEWAY_MAX_PAYLOAD_BYTES": str(MAX_BODY_BYTES)}
    return [shared_replicas(shared_redis_server.url, **settings) for _ in range(3)]


@pytest.fixture(scope="module")
def backend(shared_redis_server: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A backend that publishes to them."""
    process = PublisherProcess(shared_redis_server.url)
    yield process
    assert process.close() == 0


@pytest_asyncio.fixture
async def commands(redis_server: EmbeddedRedis) -> AsyncIterator[Commands]:
    """Something to ask Redis with."""
    commands = commands_of(source_of(redis_server.url, name="test"))
    await commands.start()
    yield commands
    await commands.stop()
