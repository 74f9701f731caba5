"""The HTTP server of the API: checks the key, then path, method and body; every answer is JSON."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from gateway.api import openapi, reading
from gateway.api.answers import answer
from gateway.api.endpoints import Endpoint, Endpoints
from gateway.api.guard import Guard, Handler
from gateway.engine.body import see_off
from gateway.sockets.members import Members

PREFIX = "/api"
# Longest time for Redis to answer; callers have timeouts of their own.
ANSWER_S = 2.0
SEE_OFF_S = 2.0


class Api:
    """The API of one replica. `remote` returns the address of a request's client."""

    def __init__(self, members: Members, remote: Callable[[web.Request], str]) -> None:
        settings = members.settings
        self.requests: Counter[int] = Counter()
        """The number of requests, by the status of their answers."""
        self._guard = Guard(settings, remote)
        self._max_bytes = settings.max_payload_bytes
        self._timeout_s = settings.request_timeout_s
        self._endpoints = Endpoints(members).all
        self._document: bytes | None = None

    def attach(self, app: web.Application) -> None:
        """Add the routes under `/api`."""
        api = web.Application(middlewares=[self._count])
        for endpoint in self._endpoints:
            api.router.add_route(endpoint.method, endpoint.path, partial(self._serve, endpoint))
        api.router.add_route("GET", "/v1/openapi.json", self._describe)
        app.add_subapp(PREFIX, api)

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request through the guard, and count it by status."""
        response = await self._guard.answer(request, handler)
        self.requests[response.status] += 1
        if not request.content.is_eof() and isinstance(response, web.Response):
            await see_off(request, response, SEE_OFF_S)
        return response

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        asked: Any
        if endpoint.method == "GET":
            asked = reading.question(endpoint.takes, request)
        else:
            body = await reading.body_of(request, self._max_bytes, self._timeout_s)
            several = endpoint.several and body.lstrip()[:1] == b"["
            asked = (reading.many if several else reading.one)(endpoint.takes, body)
        async with asyncio.timeout(ANSWER_S):
            found = await endpoint.do(asked)
        return answer(200, msgspec.json.encode(found))

    async def _describe(self, request: web.Request) -> web.Response:
        if self._document is None:
            self._document = msgspec.json.encode(openapi.document(self._endpoints))
        return answer(200, self._document)
