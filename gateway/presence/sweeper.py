"""Sweeps of a tenant's presence when work is due: a grace time ends, or typing ends by itself.

Presence is in Redis, and `online.lua` decides; this module only knows when to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateway.presence.store import PresenceStore
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched

# A sweep comes this long after its work is due, because a moment too early it would find nothing.
MARGIN_MS = 20
RETRY_MS = 1000
# The longest plan, in leases. After half a lease without a sweep, `online.lua` takes it that Redis was down, and
# spares everybody for a while: a tenant that no replica renews would be spared at each sweep, for ever.
MOST_LEASES = 0.45


class Sweeper:
    """Sweeps tenants in time; `sweeps` counts the sweeps."""

    def __init__(self, store: PresenceStore) -> None:
        self.sweeps = 0
        self._store = store
        self._due: dict[str, asyncio.TimerHandle] = {}
        """The timer of each tenant's next sweep."""

    def stop(self) -> None:
        """Cancel the planned sweeps."""
        for timer in self._due.values():
            timer.cancel()

    def soon(self, tenant: str, delay_ms: int) -> None:
        """Plan a sweep of a tenant in at most `delay_ms`, unless one is planned before; does nothing below 0."""
        if delay_ms < 0:
            return
        loop = asyncio.get_running_loop()
        delay_s = min((delay_ms + MARGIN_MS) / 1000, self._store.times.lease_s * MOST_LEASES)
        planned = self._due.get(tenant)
        if planned is not None:
            if planned.when() <= loop.time() + delay_s:
                return
            planned.cancel()
        self._due[tenant] = loop.call_later(delay_s, self._start_sweep, tenant)

    def _start_sweep(self, tenant: str) -> None:
        del self._due[tenant]
        unwatched(asyncio.ensure_future(self._sweep_due(tenant)))

    async def _sweep_due(self, tenant: str) -> None:
        try:
            await self.sweep(tenant)
        except (RedisUnavailable, ReplyError):
            # Without members here, no renewal of leases would sweep the tenant.
            self.soon(tenant, RETRY_MS)

    async def sweep(self, tenant: str, sockets: Sequence[tuple[str, str]] = ()) -> list[int]:
        """Renew the leases of sockets, each a pid and its user, and do the work that is due for their tenant.

        Return the indexes of sockets whose leases had ended. Raises `RedisUnavailable` or `ReplyError`.
        """
        self.sweeps += 1
        swept = await self._store.sweep(tenant, sockets)
        # Redis knows all that is due, so this replaces the plan. Every sweep is planned: when the last member here
        # has left, no renewal of leases sweeps. While renewals go on, they put it off.
        planned = self._due.pop(tenant, None)
        if planned is not None:
            planned.cancel()
        self.soon(tenant, swept.delay_ms)
        return swept.unknown
