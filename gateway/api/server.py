"""Requests in, JSON out: the key first, then the path, the method, the body; nothing else ever leaves here."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec
import structlog
from aiohttp import web

from gateway.api import openapi, reading
from gateway.api.answers import answer, refusal
from gateway.api.endpoints import Endpoint, Endpoints
from gateway.api.keys import Keys
from gateway.engine.body import see_off
from gateway.errors import Refused
from gateway.sockets.members import Members

PREFIX = "/api"
# A caller has a time limit of its own; Redis that takes longer is away.
ANSWER_S = 2.0
SEE_OFF_S = 2.0

_log = structlog.get_logger("gateway.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The API of one replica. `remote` gives the address of a request's client."""

    def __init__(self, members: Members, remote: Callable[[web.Request], str]) -> None:
        settings = members.settings
        self.requests: Counter[int] = Counter()
        """Requests so far, by the status of their answers."""
        self._remote = remote
        self._keys = Keys(key.get_secret_value() for key in settings.api_keys)
        self._max_bytes = settings.max_payload_bytes
        self._timeout_s = settings.request_timeout_s
        self._endpoints = Endpoints(members).all
        self._document: bytes | None = None

    def attach(self, app: web.Application) -> None:
        """Add everything under `/api`."""
        api = web.Application(middlewares=[self._guard])
        for endpoint in self._endpoints:
            api.router.add_route(endpoint.method, endpoint.path, partial(self._serve, endpoint))
        api.router.add_route("GET", "/v1/openapi.json", self._describe)
        app.add_subapp(PREFIX, api)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who has a key, and answer whatever goes wrong."""
        try:
            if not self._keys.open_for(request):
                _log.warning("api_refused", remote=self._remote(request), path=request.path[:64])
                raise Refused("unauthorized")
            response = await handler(request)
        except Exception as error:  # noqa: BLE001
            response = refusal(request, error)
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
