"""What the publisher's tests share."""

from collections.abc import AsyncIterator

import pytest_asyncio
from hypothesis import settings

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.publisher.bus import bus
from tests.publisher.senders import senders
from tests.support.proxy import Proxy

__all__ = ["bus", "senders"]

# A test may be stopped for a second by a machine that does something else; that is no failure.
settings.register_profile("bounded", deadline=None, max_examples=60)
settings.load_profile("bounded")


@pytest_asyncio.fixture
async def redis_proxy(redis_server: EmbeddedRedis) -> AsyncIterator[Proxy]:
    """The network in front of `redis_server`."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy
