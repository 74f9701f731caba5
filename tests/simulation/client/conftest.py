"""A Redis and two replicas for all tests here, which stay apart by tenants of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, replica_factory

__all__ = ["stage_redis"]


@pytest.fixture(scope="session")
def replica(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    for start in replica_factory(tmp_path_factory.mktemp("replica")):
        yield start(stage_redis.url)


@pytest.fixture(scope="session")
def hasty_replica(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """A replica that pings often."""
    pings = {"GATEWAY_PING_INTERVAL_S": "0.3", "GATEWAY_PING_TIMEOUT_S": "0.5"}
    for start in replica_factory(tmp_path_factory.mktemp("hasty")):
        yield start(stage_redis.url, **pings)
