"""Each case runs against a fresh app, on asyncio's own loop and on uvloop."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.app import serve
from tests.engine.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serve() as port:
        yield port
