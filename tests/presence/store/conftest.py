"""What the tests of presence in Redis share: an office whose time the test passes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio

from gateway.redis.commands import Commands
from tests.support.office import Office, new_office


@pytest_asyncio.fixture
async def office(commands: Commands, redis_client: Any) -> AsyncIterator[Office]:
    office = await new_office(commands, redis_client)
    yield office
    await office.close()
