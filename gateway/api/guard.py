"""The guard in front of the API and of the console's questions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from gateway.api.answers import refusal
from gateway.api.keys import Keys
from gateway.errors import Refused
from gateway.settings import Settings

_log = structlog.get_logger("gateway.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Lets requests in that carry an API key. `remote` returns the address of a request's client."""

    def __init__(self, settings: Settings, remote: Callable[[web.Request], str]) -> None:
        self._keys = Keys(key.get_secret_value() for key in settings.api_keys)
        self._remote = remote

    async def answer(
        self, request: web.Request, handler: Handler, *, needs_key: bool = True
    ) -> web.StreamResponse:
        """Return the handler's answer, or a refusal for a missing key and for every error of the handler."""
        try:
            if needs_key and not self._keys.open_for(request):
                _log.warning("api_refused", remote=self._remote(request), path=request.path[:64])
                raise Refused("unauthorized")
            return await handler(request)
        except Exception as error:  # noqa: BLE001  # a client never sees a traceback
            return refusal(request, error)
