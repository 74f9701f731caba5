"""What the tests of rooms share: connections to a real server, with the network in between, and a stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from gateway.core.limits import Limits
from tests.redis.conftest import commands, limits, redis_proxy, source
from tests.rooms.ground import Ground

__all__ = ["commands", "limits", "redis_proxy", "source"]


@pytest_asyncio.fixture
async def ground(limits: Limits) -> AsyncIterator[Ground]:
    asyncio.get_running_loop().set_debug(False)  # thousands of tasks
    ground = Ground(limits)
    yield ground
    await ground.resync.stop()
