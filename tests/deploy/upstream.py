"""A replica that is none: it answers every request with one status and remembers what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer


class Upstream:
    """One such server; `requests` are the requests, but for those of health checks.

    These it passes if `ready`; one that answers 503 until its first request, as one that has just begun to drain.
    """

    def __init__(self, status: int, *, ready: bool) -> None:
        self.requests: list[web.Request] = []
        self._status = status
        self._ready = ready
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1")

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server.port is not None
        return self._server.port

    async def _answer(self, request: web.Request) -> web.Response:
        if request.path == "/health/ready" and self._ready:
            return web.Response()
        if "probe" not in request.query:
            self.requests.append(request)
            self._ready = self._ready and self._status != 503
        return web.Response(status=self._status)

    async def start(self) -> Upstream:
        """Start it."""
        await self._server.start_server()
        return self

    async def stop(self) -> None:
        """End it."""
        await self._server.close()


Upstreams = Callable[..., Awaitable[Upstream]]


@pytest_asyncio.fixture
async def upstreams() -> AsyncIterator[Upstreams]:
    """Start one: `await upstreams(503)`, or one that is said to be ready all the same."""
    started: list[Upstream] = []

    async def start(status: int, *, ready: bool = True) -> Upstream:
        upstream = Upstream(status, ready=ready)
        started.append(upstream)
        return await upstream.start()

    yield start
    for upstream in started:
        await upstream.stop()
