"""Two replicas that share a Redis, and pages in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.deploy.conftest import make_proxy, proxies, proxy_kind
from tests.e2e.conftest import Tenant, browsers, node, tenant
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica, replica_factory

__all__ = ["Tenant", "browsers", "make_proxy", "node", "proxies", "proxy_kind", "tenant"]

Trio = list[Replica]


@pytest.fixture(scope="module")
def stage() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


MAX_BODY_BYTES = 8_000_000


@pytest.fixture(scope="module")
def trio(stage: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trio]:
    """Three replicas, which take bodies of up to `MAX_BODY_BYTES`."""
    settings = {
        "GATEWAY_CORS_ORIGINS": "https://app.example.com",
        "GATEWAY_MAX_PAYLOAD_BYTES": str(MAX_BODY_BYTES),
    }
    for start in replica_factory(Path(tmp_path_factory.mktemp("trio"))):
        yield [start(stage.url, **settings) for _ in range(3)]


@pytest.fixture(scope="module")
def backend(stage: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A backend that publishes to them."""
    process = PublisherProcess(stage.url)
    yield process
    assert process.close() == 0
