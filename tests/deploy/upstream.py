"""A replica that is none: it answers every request with one status and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer


class Upstream:
    """One such server; `requests` are the method, path and headers of each request."""

    def __init__(self, status: int) -> None:
        self.requests: list[web.Request] = []
        self._status = status
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1")

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server.port is not None
        return self._server.port

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        return web.Response(status=self._status)

    async def start(self) -> Upstream:
        """Start it."""
        await self._server.start_server()
        return self

    async def stop(self) -> None:
        """End it."""
        await self._server.close()


Upstreams = Callable[[int], Awaitable[Upstream]]


@pytest_asyncio.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    """Start one: `await upstreams(503)`."""
    started: list[Upstream] = []

    async def start(status: int) -> Upstream:
        upstream = Upstream(status)
        started.append(upstream)
        return await upstream.start()

    yield start
    for upstream in started:
        await upstream.stop()
