"""What the publisher's tests share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.publisher.bus import bus
from tests.publisher.senders import senders, site
from tests.support.proxy import Proxy

__all__ = ["bus", "senders", "site"]


@pytest_asyncio.fixture
async def redis_proxy(redis_server: EmbeddedRedis) -> AsyncIterator[Proxy]:
    """The network in front of `redis_server`."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy
