"""Two replicas behind one Redis, a backend's process, and the pages of an office."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.recovery.conftest import behind_proxy
from tests.support.browsers import Browser, Browsers
from tests.support.publisher_process import PublisherProcess, backend
from tests.support.redis_server import stage_redis
from tests.support.replica import Replica, replica_factory
from tests.support.tenant import Tenant
from tests.support.tokens import new_id

__all__ = ["backend", "behind_proxy", "stage_redis"]

HISTORY = 20
"""Events kept a room: a tenth of what a campaign reports in a second."""


@dataclass(kw_only=True)
class Office(Tenant):
    """An organization with two agents, a conversation and a campaign, its backend and its agents' pages."""

    backend: PublisherProcess
    browsers: Browsers
    drive: str = field(default_factory=new_id)

    def publish(self, verb: str, *args: Any, **more: Any) -> Any:
        """Have the backend publish for the organization; return the receipt."""
        return self.backend.call(verb, self.id, *args, **more)

    def page(self, url: str, user: str | None = None, **options: object) -> Browser:
        """Open a page of an agent: `office.page(replica.url, office.bruno, transports=["polling"])`."""
        opened = self.browsers(url, self.token(user), **options)
        opened.connected()
        return opened


@pytest.fixture
def office(backend: PublisherProcess, browsers: Browsers) -> Office:
    """An office of the test's own."""
    return Office(backend=backend, browsers=browsers)


@pytest.fixture(scope="package")
def pair(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Two replicas that nobody is to break."""
    for start in replica_factory(tmp_path_factory.mktemp("inbox")):
        kept = {"GATEWAY_HISTORY_SIZE": str(HISTORY), "GATEWAY_HISTORY_MAX_EVENTS": str(HISTORY)}
        yield [start(stage_redis.url, **kept) for _ in range(2)]
