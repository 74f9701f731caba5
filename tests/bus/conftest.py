"""What the tests of the bus share: connections to a real server, with the network in between."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.bus.commands import Commands
from gateway.bus.link import Source
from gateway.embedded import EmbeddedRedis
from tests.support.proxy import Proxy


@pytest_asyncio.fixture
async def redis_proxy(redis_server: EmbeddedRedis) -> AsyncIterator[Proxy]:
    """The network in front of `redis_server`."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def source(redis_proxy: Proxy) -> Source:
    """Connections through the network."""
    return Source(redis_proxy.url, name="gateway")


@pytest_asyncio.fixture
async def commands(source: Source) -> AsyncIterator[Commands]:
    """Something to ask Redis with, through the network."""
    commands = Commands(source)
    await commands.start()
    yield commands
    await commands.stop()
