"""One replica with a certificate, and the authority that issued it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.tls.authority import Authority

TlsClients = Callable[..., RawClient]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority of a module."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas, authority: Authority) -> Replica:
    """A replica that the module's tests share."""
    environment = authority.issue("shared").environment
    return shared_replicas(shared_redis_server.url, GATEWAY_MAX_BUFFER_BYTES="65536", **environment)


@pytest.fixture
def tls_clients(clients: Clients, authority: Authority) -> TlsClients:
    """Make clients that trust the authority; as `clients` does."""
    context = authority.client_context()

    def make(url: str, token: str | None, **options: object) -> RawClient:
        return clients(url, token, **{"tls": context} | options)

    return make
