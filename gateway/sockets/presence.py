"""Keeping presence true: this replica's leases are renewed, and tenants looked at when something is due.

Presence is in Redis, and `presence/presence.lua` decides; here is only when to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.core.member import Member
from gateway.core.rooms import Tenant
from gateway.engine import CloseReason
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.notices import unwatched
from gateway.sockets.changes import IN_DOUBT
from gateway.sockets.members import Members
from gateway.sockets.periodic import PeriodicWork

# A sweep comes this long after something is due: it would find nothing a moment too early.
MARGIN_MS = 20
RETRY_MS = 1000
# Why this replica closes sockets that come back by themselves, to wherever there is room for them.
SENT_AWAY = (CloseReason.SHUTDOWN, "gap", "history lost", IN_DOUBT)

CallLater = Callable[[float, Callable[[], object]], Any]


class Presence:
    """Renews leases, in slices, and sweeps tenants in time."""

    def __init__(self, members: Members, call_later: CallLater) -> None:
        self._members = members
        self._call_later = call_later
        every_s = members.presence.times.renew_every_s
        self.periodic = PeriodicWork("presence", members.subscriptions.hub.tenants, self._renew, every_s)
        self._due: dict[str, tuple[float, Any]] = {}
        """For each tenant that is to be swept: when, and the timer."""
        self.sweeps = 0
        members.sessions.due = self.soon

    def start(self) -> None:
        """Begin."""
        self.periodic.start()

    async def stop(self) -> None:
        """Stop renewing; what is left of each lease goes on counting."""
        await self.periodic.stop()
        for _, timer in self._due.values():
            timer.cancel()

    def soon(self, tenant: str, delay_ms: int) -> None:
        """Sweep a tenant once something is due there, `delay_ms` from now."""
        delay_s = (delay_ms + MARGIN_MS) / 1000
        when = asyncio.get_running_loop().time() + delay_s
        planned = self._due.get(tenant)
        if planned is not None:
            if planned[0] <= when:
                return
            planned[1].cancel()
        self._due[tenant] = (when, self._call_later(delay_s, lambda: self._begin_sweep(tenant)))

    def _begin_sweep(self, tenant: str) -> None:
        del self._due[tenant]
        unwatched(asyncio.ensure_future(self._sweep_due(tenant)))

    async def _sweep_due(self, tenant: str) -> None:
        try:
            await self._sweep(tenant, [])
        except (RedisUnavailable, ReplyError):
            # There may be nobody here any more whose leases bring us back to it.
            self.soon(tenant, RETRY_MS)

    async def _renew(self, tenant: Tenant, members: list[Member]) -> None:
        unknown = await self._sweep(tenant.id, members)
        if unknown:
            # They were taken for gone.
            await self._members.write_again(tenant, unknown)

    async def _sweep(self, tenant: str, members: list[Member]) -> list[Member]:
        """Renew leases and do what is due for their tenant; gives the members that have none."""
        self.sweeps += 1
        swept = await self._members.presence.sweep(tenant, [(m.pid, m.identity.user_id) for m in members])
        if 0 <= swept.delay_ms < self._members.presence.times.renew_every_s * 1000:
            self.soon(tenant, swept.delay_ms)
        return [members[i] for i in swept.unknown]
