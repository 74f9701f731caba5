"""Questions to the backend over HTTP: one POST for each, answered by its status."""

from __future__ import annotations

import aiohttp

from gateway.core.model import Identity
from publisher.rooms import Room

# Statuses below 500 that are no decision, but mean "try later".
_NOT_NOW = {408, 425, 429}
# The body is ignored, but read up to this size, so that the connection can be used again.
_BODY_BYTES = 65_536


class Away(Exception):
    """The backend did not answer the question; the text is the reason, for the log."""


class Backend:
    """Asks one URL of the backend by HTTP, between `start` and `stop`."""

    def __init__(self, url: str, key: str, *, timeout_s: float) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the HTTP client, which keeps connections and uses them again."""
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s),
            # `Authorizer` limits the number of questions at a time.
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    async def stop(self) -> None:
        """Close the connections to the backend."""
        if self._session is not None:
            await self._session.close()

    async def ask(self, identity: Identity, room: Room) -> bool:
        """Return whether a user may be in a room: 2xx is yes, 4xx is no. Raises `Away`. Safe to cancel."""
        assert self._session is not None
        question = {
            "user_id": identity.user_id,
            "tenant": identity.tenant,
            "role": identity.role,
            "room": room,
        }
        try:
            async with self._session.post(
                self._url, json=question, headers=self._headers, allow_redirects=False
            ) as response:
                await response.content.read(_BODY_BYTES)
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Away(f"{type(error).__name__}: {error}".rstrip(": ")[:200]) from None
        if 200 <= status < 300:
            return True
        if 400 <= status < 500 and status not in _NOT_NOW:
            return False
        raise Away(f"status {status}")
