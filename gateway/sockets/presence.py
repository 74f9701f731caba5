"""Keeping presence true: this replica's leases are renewed, and tenants looked at when something is due.

What there is to know of people is in Redis, and `bus/scripts/people.lua` decides; here is only when to ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from gateway.bus.link import LinkDown, ReplyError
from gateway.bus.notices import unwatched
from gateway.bus.people import RENEW_BATCH
from gateway.core.member import Member
from gateway.core.rooms import Tenant
from gateway.sockets.house import House, log

TICK_S = 1.0
# A sweep comes this long after something is due: it would find nothing a moment too early.
MARGIN_MS = 20

CallLater = Callable[[float, Callable[[], object]], Any]


class Presence:
    """Renews leases, in slices, and sweeps tenants in time."""

    def __init__(self, house: House, call_later: CallLater) -> None:
        self._house = house
        self._call_later = call_later
        self._task: asyncio.Task[None] | None = None
        self._due: dict[str, tuple[float, Any]] = {}
        """For each tenant that is to be swept: when, and the timer."""
        self.sweeps = 0
        house.sessions.due = self.soon

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="presence")

    async def stop(self) -> None:
        """Stop renewing; what is left of each lease goes on counting."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
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
        self._due[tenant] = (when, self._call_later(delay_s, lambda: self._sweep_now(tenant)))

    def _sweep_now(self, tenant: str) -> None:
        del self._due[tenant]
        unwatched(asyncio.ensure_future(self._sweep(tenant, [])))

    async def _run(self) -> None:
        ticks = max(1, round(self._house.people.times.renew_every_s / TICK_S))
        waiting: list[Tenant] = []
        while True:
            await asyncio.sleep(TICK_S)
            if not waiting:
                waiting = list(self._house.relay.hub.tenants.values())
                size = -(-len(waiting) // ticks)
            slice_, waiting = waiting[:size], waiting[size:]
            try:
                await asyncio.gather(*(self._renew(tenant) for tenant in slice_))
            except (LinkDown, ReplyError) as error:
                log.warning("lease_renewal_failed", reason=str(error))

    async def _renew(self, tenant: Tenant) -> None:
        members = list(tenant.members)
        for i in range(0, len(members), RENEW_BATCH):
            await self._sweep(tenant.id, members[i : i + RENEW_BATCH])

    async def _sweep(self, tenant: str, members: list[Member]) -> None:
        """Sweep a tenant, and have those come anew that were taken for gone."""
        self.sweeps += 1
        swept = await self._house.people.sweep(tenant, [(m.pid, m.identity.user_id) for m in members])
        if 0 <= swept.delay_ms < self._house.people.times.renew_every_s * 1000:
            self.soon(tenant, swept.delay_ms)
        for i in swept.unknown:
            if not members[i].socket.closed:
                await self._house.write_session(members[i])
