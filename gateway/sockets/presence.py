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
from gateway.engine import CloseReason
from gateway.sockets.house import House, log

TICK_S = 1.0
# Ticks between two renewals, at the least.
TICKS = 4
# A sweep comes this long after something is due: it would find nothing a moment too early.
MARGIN_MS = 20
RETRY_MS = 1000
# Why this replica closes sockets that come back by themselves, to wherever there is room for them.
SENT_AWAY = (CloseReason.SHUTDOWN, "gap", "history lost")

Batch = tuple[Tenant, list[Member]]
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
        self._due[tenant] = (when, self._call_later(delay_s, lambda: self._begin_sweep(tenant)))

    def _begin_sweep(self, tenant: str) -> None:
        del self._due[tenant]
        unwatched(asyncio.ensure_future(self._sweep_due(tenant)))

    async def _sweep_due(self, tenant: str) -> None:
        try:
            await self._sweep(tenant, [])
        except (LinkDown, ReplyError):
            # There may be nobody here any more whose leases bring us back to it.
            self.soon(tenant, RETRY_MS)

    async def _run(self) -> None:
        renew_every_s = self._house.people.times.renew_every_s
        tick_s = min(TICK_S, renew_every_s / TICKS)
        ticks = round(renew_every_s / tick_s)
        late: list[Batch] = []
        while True:
            failing = {tenant for tenant, _ in late}
            # Those where it did not work come first: they can't wait for their turn.
            batches, late = sorted(self._batches(), key=lambda batch: batch[0] not in failing), []
            size = -(-len(batches) // ticks)
            for tick in range(ticks):
                await asyncio.sleep(tick_s)
                late = await self._renew_all([*late, *batches[tick * size : (tick + 1) * size]], again=bool(late))

    def _batches(self) -> list[Batch]:
        batches = []
        for tenant in self._house.relay.hub.tenants.values():
            members = list(tenant.members)
            batches += [(tenant, members[i : i + RENEW_BATCH]) for i in range(0, len(members), RENEW_BATCH)]
        return batches

    async def _renew_all(self, batches: list[Batch], *, again: bool) -> list[Batch]:
        """Renew leases; gives those where it did not work.

        A shard of Redis that is away must not end the leases of the others' tenants.
        """
        renewing = (self._renew(*batch) for batch in batches)
        errors = await asyncio.gather(*renewing, return_exceptions=True)
        failed = [error for error in errors if error is not None]
        for error in failed:
            if not isinstance(error, (LinkDown, ReplyError)):
                raise error
        if failed and not again:
            log.warning("lease_renewal_failed", reason=str(failed[0]))
        return [batch for batch, error in zip(batches, errors, strict=True) if error is not None]

    async def _renew(self, tenant: Tenant, members: list[Member]) -> None:
        # Who has gone meanwhile was given what is left of its lease.
        unknown = await self._sweep(tenant.id, [member for member in members if member in tenant.members])
        if unknown:
            await self._enter_again(unknown)

    async def _enter_again(self, members: list[Member]) -> None:
        """Have those come anew that were taken for gone, but for those who were sent away by now."""
        await self._house.relay.subscriber.of(members[0].tenant.id).fence()
        for member in members:
            if member in member.tenant.members and not member.socket.closed:
                await self._house.write_session(member)

    async def _sweep(self, tenant: str, members: list[Member]) -> list[Member]:
        """Renew leases and do what is due for their tenant; gives the members that have none."""
        self.sweeps += 1
        swept = await self._house.people.sweep(tenant, [(m.pid, m.identity.user_id) for m in members])
        if 0 <= swept.delay_ms < self._house.people.times.renew_every_s * 1000:
            self.soon(tenant, swept.delay_ms)
        return [members[i] for i in swept.unknown]
