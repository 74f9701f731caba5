"""Limits of connections: new ones per second, unauthenticated ones, and those of one address."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import structlog

from gateway.core.bucket import Rate
from gateway.engine.errors import Refusal, unavailable
from gateway.limits.addresses import share_of
from gateway.settings.limits import Limits

_TOO_FAST: Final = unavailable("Too many new connections", retry_after_s=1, limit="connects_per_s")
_TOO_MANY_PENDING: Final = unavailable(
    "Too many connections that have not authenticated", retry_after_s=5, limit="max_pending_connects"
)
_TOO_MANY_HERE: Final = unavailable(
    "Too many connections from this address", retry_after_s=5, limit="max_sockets_per_address"
)

_log = structlog.get_logger("gateway.limits")


class Connects:
    """Admits or refuses new connections, before any object is made for them.

    A reconnect counts like a first connect. `pending()` returns the number of sockets that have not authenticated.
    """

    def __init__(
        self,
        settings: Limits,
        pending: Callable[[], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = (
            Rate(settings.connects_per_s, max(settings.connects_per_s, 1.0)) if settings.connects_per_s else None
        )
        self._full_at = 0.0
        self._most_pending = settings.max_pending_connects
        self._most_of_one = settings.max_sockets_per_address
        self._pending = pending
        self._clock = clock
        self._sockets: dict[str, int] = {}

    def refusal_of(self, remote: str) -> Refusal | None:
        """Return the refusal of a new connection from `remote`, or None to admit it."""
        refusal = self._judge(remote)
        if refusal is not None:
            _log.warning("connect_limited", limit=refusal.limit, remote=remote)
        return refusal

    def opened(self, remote: str) -> None:
        """Count a socket for its client's address."""
        if self._most_of_one:
            share = share_of(remote)
            self._sockets[share] = self._sockets.get(share, 0) + 1

    def closed(self, remote: str) -> None:
        """Subtract a socket that has ended from its address."""
        if self._most_of_one:
            share = share_of(remote)
            left = self._sockets[share] - 1
            if left:
                self._sockets[share] = left
            else:
                del self._sockets[share]

    def _judge(self, remote: str) -> Refusal | None:
        if self._most_of_one and self._sockets.get(share_of(remote), 0) >= self._most_of_one:
            return _TOO_MANY_HERE
        if self._most_pending and self._pending() >= self._most_pending:
            return _TOO_MANY_PENDING
        if self._rate is not None:
            now = self._clock()
            full_at = self._rate.spend(self._full_at, now)
            if self._rate.wait_s(full_at, now) > 0:
                return _TOO_FAST
            self._full_at = full_at
        return None
