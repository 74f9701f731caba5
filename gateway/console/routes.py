"""The routes of `/console`: the page's files are public, everything else needs an API key.

In `gateway dev` the page gets the key (`open_with`). A page of another site must not get it, for example through a
host name that resolves to 127.0.0.1. So only requests for this machine's own names are answered there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

from gateway.api import reading
from gateway.api.answers import answer, refusal
from gateway.api.guard import Guard, Handler
from gateway.auth.minting import claims_of, signed
from gateway.console import session
from gateway.console.models import Mint, Tail, Who
from gateway.console.overview import Fleet
from gateway.console.shell import INDEX, Shell
from gateway.console.tail import Tails
from gateway.errors import Refused
from gateway.limits.addresses import remote_of

if TYPE_CHECKING:
    from gateway.app.replica import Gateway

PREFIX = "/console"
# Largest body of a request, which has only a few fields.
MAX_BYTES = 16_384
ANSWER_S = 2.0
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
# Values of Sec-Fetch-Site for requests of the page itself, or of a typed address.
OWN_SITES = ("same-origin", "none")


class Console:
    """The console of one replica: its page and the requests of that page."""

    def __init__(self, gateway: Gateway, *, open_with: str | None = None) -> None:
        settings = gateway.settings
        self._gateway = gateway
        self._settings = settings
        self._open_with = open_with
        self._guard = Guard(settings, remote_of(settings.trusted_proxies))
        self._shell = Shell()
        self._fleet = Fleet(gateway)
        self._tails = Tails(gateway)

    def attach(self, app: web.Application) -> None:
        """Add the routes under `/console`."""
        api = web.Application(middlewares=[self._with_key])
        api.router.add_route("GET", "/session", self._session)
        api.router.add_route("POST", "/tokens", self._mint)
        api.router.add_route("GET", "/overview", self._overview)
        api.router.add_route("GET", "/tail", self._tail)
        console = web.Application(middlewares=[self._own])
        console.add_subapp("/api", api)
        for path in ("", "/", "/{name:.+}"):
            console.router.add_get(path, self._file)
        app.add_subapp(PREFIX, console)
        app.on_shutdown.append(self._tails.close)

    @web.middleware
    async def _own(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """In `gateway dev`, refuse requests that are not for this machine's own names."""
        if self._open_with is not None and not is_own(request):
            return refusal(request, Refused("forbidden", "the console answers only on 127.0.0.1 and localhost"))
        return await handler(request)

    @web.middleware
    async def _with_key(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request through the guard. In `gateway dev` the page asks for the key with its first one."""
        is_first = self._open_with is not None and request.path == f"{PREFIX}/api/session"
        return await self._guard.answer(request, handler, needs_key=not is_first)

    async def _file(self, request: web.Request) -> web.Response:
        return self._shell.answer(request, request.match_info.get("name") or INDEX)

    async def _session(self, request: web.Request) -> web.Response:
        who = reading.question(Who, request)
        return _json(session.about(self._gateway, who.origin, self._open_with))

    async def _overview(self, request: web.Request) -> web.Response:
        async with asyncio.timeout(ANSWER_S):
            return answer(200, await self._fleet.overview())

    async def _tail(self, request: web.Request) -> web.StreamResponse:
        return await self._tails.stream(request, reading.question(Tail, request))

    async def _mint(self, request: web.Request) -> web.Response:
        reason = session.no_minting(self._settings)
        if reason is not None:
            raise Refused("forbidden", f"tokens are not minted here: {reason}")
        body = await reading.body_of(request, MAX_BYTES, self._settings.request_timeout_s)
        asked = reading.one(Mint, body)
        longest_s = session.longest_token_s(self._settings)
        if asked.ttl_s > longest_s:
            raise reading.invalid([{"field": "ttl_s", "message": f"at most {longest_s} seconds"}])
        claims = claims_of(
            self._settings, asked.user_id, asked.organization_id, role=asked.role, ttl_s=asked.ttl_s
        )
        return _json({"token": signed(self._settings, claims), "claims": claims})


def attach_where_there_are_keys(app: web.Application, gateway: Gateway) -> None:
    """Add the console if there are API keys."""
    if gateway.api is not None:
        Console(gateway).attach(app)


def is_own(request: web.Request) -> bool:
    """Return whether a request names this machine by its own names and comes from no page of another site."""
    try:
        name = request.url.host
    except ValueError:  # an invalid port
        return False
    return name in OWN_NAMES and request.headers.get("Sec-Fetch-Site", "none") in OWN_SITES


def _json(found: Any) -> web.Response:
    return answer(200, msgspec.json.encode(found))
