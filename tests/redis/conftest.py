"""What the tests of Redis connections share: connections to a real server, with the network in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from gateway.core.clock import ServerClock
from gateway.core.limits import LIMITS, Limits
from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.redis.commands import Commands
from gateway.redis.connection import Source
from gateway.redis.subscriber import Subscriber
from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_S


@pytest_asyncio.fixture
async def redis_proxy(redis_server: EmbeddedRedis) -> AsyncIterator[Proxy]:
    """The network in front of `redis_server`."""
    async with Proxy(redis_server.port) as proxy:
        yield proxy


@pytest_asyncio.fixture
async def source(redis_proxy: Proxy) -> Source:
    """Connections through the network."""
    return Source(redis_proxy.url, name="gateway")


@pytest.fixture
def limits() -> Limits:
    """A replica's limits; a test parametrizes it to have others."""
    return LIMITS


@pytest_asyncio.fixture
async def commands(source: Source, limits: Limits) -> AsyncIterator[Commands]:
    """Something to ask Redis with, through the network."""
    commands = Commands(source, limits=limits)
    await commands.start()
    yield commands
    await commands.stop()


class Ear:
    """A subscriber, and notes of what it was told."""

    def __init__(self, source: Source, commands: Commands) -> None:
        self.heard: list[tuple[bytes, bytes]] = []
        self.losses = 0
        self.returns = 0
        self.coming_back = asyncio.Event()
        self.coming_back.set()
        self.subscriber = Subscriber(
            source,
            commands,
            on_message=lambda channel, data: self.heard.append((channel, data)),
            on_lost=self.lost,
            on_back=self.back,
            clock=ServerClock(time.monotonic),
        )

    def lost(self) -> None:
        self.losses += 1

    async def back(self) -> None:
        await self.coming_back.wait()
        self.returns += 1

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.heard]


@pytest_asyncio.fixture
async def ear(source: Source, commands: Commands) -> AsyncIterator[Ear]:
    ear = Ear(source, commands)
    await ear.subscriber.start()
    yield ear
    await ear.subscriber.stop()


async def subscribed(ear: Ear, *channels: bytes) -> None:
    await asyncio.wait_for(asyncio.gather(*map(ear.subscriber.subscribe, channels)), PATIENCE_S)
