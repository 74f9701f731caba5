"""Looking at a tenant's presence when something of it is due: a grace that ends, typing that nobody ended.

Presence is in Redis, and `presence.lua` decides; here is only when to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.presence.store import PresenceStore
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched

# A sweep comes this long after something is due: it would find nothing a moment too early.
MARGIN_MS = 20
RETRY_MS = 1000


class Sweeper:
    """Sweeps tenants in time; `sweeps` counts."""

    def __init__(self, store: PresenceStore) -> None:
        self.sweeps = 0
        self._store = store
        self._due: dict[str, asyncio.TimerHandle] = {}
        """For each tenant that is to be swept, the timer."""

    def stop(self) -> None:
        """Sweep nobody any more."""
        for timer in self._due.values():
            timer.cancel()

    def soon(self, tenant: str, delay_ms: int) -> None:
        """Sweep a tenant once something is due there, `delay_ms` from now; below 0 nothing is."""
        if delay_ms < 0:
            return
        loop = asyncio.get_running_loop()
        delay_s = (delay_ms + MARGIN_MS) / 1000
        planned = self._due.get(tenant)
        if planned is not None:
            if planned.when() <= loop.time() + delay_s:
                return
            planned.cancel()
        self._due[tenant] = loop.call_later(delay_s, self._begin, tenant)

    def _begin(self, tenant: str) -> None:
        del self._due[tenant]
        unwatched(asyncio.ensure_future(self._sweep_due(tenant)))

    async def _sweep_due(self, tenant: str) -> None:
        try:
            await self.sweep(tenant)
        except (RedisUnavailable, ReplyError):
            # Nobody may be here any more whose lease renewal would come back to it.
            self.soon(tenant, RETRY_MS)

    async def sweep(self, tenant: str, sockets: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Renew the leases of sockets, each a pid and its user, and do what is due for their tenant.

        Return which of them have no lease any more. Raises `RedisUnavailable` or `ReplyError`.
        """
        self.sweeps += 1
        swept = await self._store.sweep(tenant, sockets)
        # Later than that the leases are renewed anyway.
        if swept.delay_ms < self._store.times.renew_every_s * 1000:
            self.soon(tenant, swept.delay_ms)
        return swept.unknown
