"""Each case runs against a fresh app, on asyncio's own loop and on uvloop."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.app import PATIENT, QUICK, serve
from tests.engine.conftest import pytest_asyncio_loop_factories

__all__ = ["pytest_asyncio_loop_factories"]


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with serve(times=PATIENT) as port:
        yield port


@pytest.fixture
async def quick_port() -> AsyncIterator[int]:
    """For cases that are about heartbeats and deadlines."""
    async with serve(times=QUICK) as port:
        yield port
