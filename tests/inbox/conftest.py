"""Two replicas behind one Redis, a backend's process, and the pages of an office."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.e2e.conftest import Browsers, browsers, node
from tests.recovery.conftest import behind_proxy
from tests.support.browsers import Browser
from tests.support.publisher_process import PublisherProcess
from tests.support.replica import Replica, replica_factory
from tests.support.tokens import mint, new_id

__all__ = ["behind_proxy", "browsers", "node"]

HISTORY = 20
"""Events kept a room: a tenth of what a campaign reports in a second."""


@dataclass
class Office:
    """An organization with two agents, a conversation and a campaign."""

    id: str = field(default_factory=new_id)
    ana: str = field(default_factory=new_id)
    rui: str = field(default_factory=new_id)
    talk: str = field(default_factory=new_id)
    drive: str = field(default_factory=new_id)

    def token(self, user: str | None = None) -> str:
        """Mint a token for an agent, Ana by default."""
        return mint(user or self.ana, self.id)


@pytest.fixture
def office() -> Office:
    """An office of the test's own."""
    return Office()


@pytest.fixture(scope="package")
def stage_redis() -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis() as server:
        yield server


@pytest.fixture(scope="package")
def pair(stage_redis: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Replica]]:
    """Two replicas that nobody is to break."""
    for start in replica_factory(tmp_path_factory.mktemp("inbox")):
        kept = {"GATEWAY_HISTORY_SIZE": str(HISTORY), "GATEWAY_HISTORY_MAX_EVENTS": str(HISTORY)}
        yield [start(stage_redis.url, **kept) for _ in range(2)]


@pytest.fixture(scope="package")
def backend(stage_redis: EmbeddedRedis) -> Iterator[PublisherProcess]:
    """A backend that publishes to them."""
    process = PublisherProcess(stage_redis.url)
    yield process
    assert process.close() == 0


Open = Callable[..., Browser]


@pytest.fixture
def page(browsers: Browsers, office: Office) -> Open:
    """Open a page of an agent: `page(replica.url, user, transports=["polling"])`."""

    def open_page(url: str, user: str | None = None, **options: object) -> Browser:
        opened = browsers(url, office.token(user), **options)
        opened.connected()
        return opened

    return open_page
