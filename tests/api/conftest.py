"""A replica with the HTTP API on, and a program that calls it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import PATIENCE_S

KEY = "first-n0Zt4QyRk7vJ2mWc9xLb5sEd8uGf1hPa"
OTHER_KEY = "other-Zx81uVqW3oLk9dTe6rYb2nMf7cHs4gJp"
ON = {"GATEWAY_API_KEYS": f"{KEY},{OTHER_KEY}"}
MAX_BYTES = 20_000


class Answer(NamedTuple):
    """What came back; every body is JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Caller:
    """A program with a key."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self.url = url

    async def get(self, path: str, *, key: str | None = KEY, **query: str) -> Answer:
        """Ask a question."""
        return await self.request("GET", path, key=key, params=query)

    async def post(self, path: str, body: Any, *, key: str | None = KEY, **headers: str) -> Answer:
        """Post JSON, or bytes as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request("POST", path, key=key, data=data, headers=headers)

    async def request(
        self,
        method: str,
        path: str,
        *,
        key: str | None = KEY,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Answer:
        """Make any request."""
        usual = {"Content-Type": "application/json"} if "data" in more else {}
        if key is not None:
            usual["Authorization"] = f"Bearer {key}"
        given = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        async with self._http.request(method, f"{self.url}/api{path}", headers=usual | given, **more) as answer:
            assert answer.content_type == "application/json"
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
            return Answer(answer.status, json.loads(await answer.read() or b"null"), answer.headers)


@pytest.fixture(scope="module")
def replica(shared_redis_server: EmbeddedRedis, shared_replicas: Replicas) -> Replica:
    """The replica of a module's tests."""
    return shared_replicas(shared_redis_server.url, GATEWAY_MAX_PAYLOAD_BYTES=str(MAX_BYTES), **ON)


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client for HTTP."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE_S)) as session:
        yield session


@pytest.fixture
def api(http: aiohttp.ClientSession, replica: Replica) -> Caller:
    """A program that calls the module's replica."""
    return Caller(http, replica.url)


@pytest.fixture
def org() -> str:
    """An organization of the test's own."""
    return new_id()


@pytest.fixture
def talk() -> str:
    """The id of a conversation of the test's own."""
    return new_id()


Connect = Callable[..., Awaitable[RawClient]]


@pytest.fixture
def connect(clients: Clients, replica: Replica, org: str) -> Connect:
    """Connect a user of the organization to the module's replica: `await connect(user, join=talk)`."""

    async def connected(user: str | None = None, *, join: str | None = None, **claims: Any) -> RawClient:
        client: RawClient = await clients(replica.url, mint(user, org, **claims)).connect()
        if join is not None:
            await client.join(join)
        return client

    return connected
