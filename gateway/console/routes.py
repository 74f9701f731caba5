"""Access to `/console`: the page's files for everybody, everything else with an API key.

In `gateway dev` the page is given the key (`open_with`). A page from elsewhere must not get at it, for which a
name that comes to point to 127.0.0.1 would do: only requests for this machine by its own names are answered then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import msgspec
import structlog
from aiohttp import web

from gateway.api import reading
from gateway.api.answers import answer, refusal
from gateway.api.keys import Keys
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
# A question of the page's is a few fields.
MAX_BYTES = 16_384
ANSWER_S = 2.0
OWN_NAMES = ("127.0.0.1", "localhost", "::1")
# What a browser says of a request that the page itself, or who typed the address, has made.
OWN_SITES = ("same-origin", "none")

_log = structlog.get_logger("gateway.console")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Console:
    """The console of one replica."""

    def __init__(self, gateway: Gateway, *, open_with: str | None = None) -> None:
        settings = gateway.settings
        self._gateway = gateway
        self._settings = settings
        self._open_with = open_with
        self._keys = Keys(key.get_secret_value() for key in settings.api_keys)
        self._remote = remote_of(settings.trusted_proxies)
        self._shell = Shell()
        self._fleet = Fleet(gateway)
        self._tails = Tails(gateway)

    def attach(self, app: web.Application) -> None:
        """Add everything under `/console`."""
        api = web.Application(middlewares=[self._guard])
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
        """In `gateway dev`, answer only who asks for this machine."""
        if self._open_with is not None and not is_own(request):
            return refusal(request, Refused("forbidden", "the console answers on 127.0.0.1 and localhost alone"))
        return await handler(request)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let in who has a key, and answer whatever goes wrong."""
        try:
            is_first = self._open_with is not None and request.path == f"{PREFIX}/api/session"
            if not is_first and not self._keys.open_for(request):
                _log.warning("api_refused", remote=self._remote(request), path=request.path[:64])
                raise Refused("unauthorized")
            return await handler(request)
        except Exception as error:  # noqa: BLE001
            return refusal(request, error)

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
    """Add the console for whoever has an API key."""
    if gateway.api is not None:
        Console(gateway).attach(app)


def is_own(request: web.Request) -> bool:
    """Return whether a request is for this machine by one of its own names, and from no page of another site."""
    try:
        name = request.url.host
    except ValueError:  # a port that is none
        return False
    return name in OWN_NAMES and request.headers.get("Sec-Fetch-Site", "none") in OWN_SITES


def _json(found: Any) -> web.Response:
    return answer(200, msgspec.json.encode(found))
