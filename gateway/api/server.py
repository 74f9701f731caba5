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
from gateway.api.endpoints import Endpoint, Endpoints
from gateway.api.keys import Keys
from gateway.bus.link import LinkDown, ReplyError
from gateway.engine.body import see_off
from gateway.errors import Refused
from gateway.sockets.house import House
from publisher import InvalidEvent

PREFIX = "/api"
# A caller has a time limit of its own; Redis that takes longer is away.
ANSWER_S = 2.0
RETRY_AFTER_S = 1
SEE_OFF_S = 2.0

STATUS = {
    "bad_request": 400,
    "unauthorized": 401,
    "not_found": 404,
    "bad_method": 405,
    "too_slow": 408,
    "too_large": 413,
    "bad_media_type": 415,
    "internal": 500,
    "unavailable": 503,
}

_log = structlog.get_logger("gateway.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """The API of one replica. `remote` gives the address of a request's client."""

    def __init__(self, house: House, remote: Callable[[web.Request], str]) -> None:
        settings = house.settings
        self.requests: Counter[int] = Counter()
        """Requests so far, by the status of their answers."""
        self._remote = remote
        self._keys = Keys(key.get_secret_value() for key in settings.api_keys)
        self._max_bytes = settings.max_payload_bytes
        self._timeout_s = settings.request_timeout_s
        self._endpoints = Endpoints(house).all
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
            response = _refusal(request, error)
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
            answer = await endpoint.do(asked)
        return _json(200, msgspec.json.encode(answer))

    async def _describe(self, request: web.Request) -> web.Response:
        if self._document is None:
            self._document = msgspec.json.encode(openapi.document(self._endpoints))
        return _json(200, self._document)


def _refusal(request: web.Request, error: Exception) -> web.Response:
    refused, headers = _as_refused(request, error), {}
    status = STATUS[refused.code]
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    elif isinstance(error, web.HTTPMethodNotAllowed):
        headers["Allow"] = error.headers["Allow"]
    return _json(status, msgspec.json.encode(refused.as_error()), headers)


def _as_refused(request: web.Request, error: Exception) -> Refused:
    match error:
        case Refused():
            return error
        case InvalidEvent():
            return Refused("bad_request", str(error))
        case web.HTTPNotFound():
            return Refused("not_found")
        case web.HTTPMethodNotAllowed():
            return Refused("bad_method")
        case LinkDown() | ReplyError() | TimeoutError():
            reason = str(error)[:200] or "no answer in time"
            _log.warning("api_unavailable", path=request.path[:64], reason=reason)
            return Refused("unavailable")
        case _:
            _log.error("http_handler_failed", path=request.path[:64], error=repr(error)[:200])
            return Refused("internal")


def _json(status: int, body: bytes, headers: dict[str, str] | None = None) -> web.Response:
    usual = {"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, body=body, headers=usual | (headers or {}))
