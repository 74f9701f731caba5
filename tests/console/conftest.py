"""A replica with the console, and somebody who asks it over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from yarl import URL

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.replica import Replica, Replicas
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S

KEY = "first-n0Zt4QyRk7vJ2mWc9xLb5sEd8uGf1hPa"
ON = {"GATEWAY_API_KEYS": KEY}
MINTING = {**ON, "GATEWAY_CONSOLE_TOKENS": "true"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]

    @property
    def body(self) -> Any:
        """What the JSON says."""
        return json.loads(self.text)


class Reader:
    """Somebody with a browser, or with less."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http

    async def get(self, url: str, *, key: str | None = KEY, **headers: str) -> Answer:
        """Ask for a page, as it is spelled."""
        return await self.request("GET", url, key=key, headers=headers)

    async def post(self, url: str, body: Any, *, key: str | None = KEY) -> Answer:
        """Post JSON."""
        return await self.request("POST", url, key=key, json=body)

    async def request(
        self,
        method: str,
        url: str,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """Make any request; underscores in names of headers stand for hyphens."""
        given = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if key is not None:
            given["Authorization"] = f"Bearer {key}"
        asked = URL(url, encoded=True)
        async with self.http.request(method, asked, headers=given, allow_redirects=False, **more) as answer:
            return Answer(answer.status, await answer.text(), answer.headers)


@pytest_asyncio.fixture
async def reader() -> AsyncIterator[Reader]:
    """A client for HTTP that unpacks nothing by itself."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as http:
        yield Reader(http)


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    """A replica with the console, which mints tokens."""
    return shared_replicas(shared_redis_server.url, **MINTING)


@pytest.fixture
def own_replica(redis_server: EmbeddedRedis, replicas: Replicas) -> Replica:
    """A replica with the console on a Redis of the test's own, which mints nothing."""
    return replicas(redis_server.url, **ON)


@pytest.fixture
def org() -> str:
    """An organization of the test's own."""
    return new_id()
