"""Doing something for every member of this replica once in a while: tenant by tenant, spread over the time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.core.model import Member, Tenant
from gateway.errors import Unavailable
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.sockets.members import log
from gateway.tasks import cancelled

TICK_S = 1.0
# Ticks of a round, at the least.
TICKS = 4
# Members of one call, which holds Redis up for that long.
BATCH = 500

Batch = tuple[Tenant, list[Member]]


class PeriodicWork:
    """Calls `work(tenant, members)` for the members of every tenant, each once in `every_s`.

    What fails is tried again with the next tick. Nothing waits for anything else: a shard of Redis that is away
    must not end the leases of the others' tenants.
    """

    def __init__(
        self,
        name: str,
        tenants: Mapping[str, Tenant],
        work: Callable[[Tenant, list[Member]], Awaitable[None]],
        every_s: float,
    ) -> None:
        self._name = name
        self._tenants = tenants
        self._work = work
        self._tick_s = min(TICK_S, every_s / TICKS)
        self._ticks = round(every_s / self._tick_s)
        self._runner: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._late: list[Batch] = []
        self._failing: set[Tenant] = set()

    def start(self) -> None:
        """Begin."""
        self._runner = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Do nothing more."""
        await cancelled(self._runner, *self._under_way)

    async def once(self) -> None:
        """Do a whole round now; raises what `work` raises."""
        await asyncio.gather(*(self._work(*batch) for batch in self._batches()))

    async def _run(self) -> None:
        while True:
            batches = self._batches()
            self._failing.intersection_update(self._tenants.values())
            size = -(-len(batches) // self._ticks)
            for tick in range(self._ticks):
                await asyncio.sleep(self._tick_s)
                late, self._late = self._late, []
                for batch in (*late, *batches[tick * size : (tick + 1) * size]):
                    task = asyncio.create_task(self._do(*batch), name=self._name)
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)

    def _batches(self) -> list[Batch]:
        batches = []
        for tenant in self._tenants.values():
            members = list(tenant.members)
            batches += [(tenant, members[i : i + BATCH]) for i in range(0, len(members), BATCH)]
        return batches

    async def _do(self, tenant: Tenant, members: list[Member]) -> None:
        # Who has gone meanwhile was given what is left of its lease.
        there = [member for member in members if member in tenant.members]
        try:
            await self._work(tenant, there)
        except (RedisUnavailable, ReplyError, Unavailable) as error:
            if not self._failing:
                log.warning("lease_renewal_failed", reason=str(error))
            self._failing.add(tenant)
            self._late.append((tenant, there))
        else:
            self._failing.discard(tenant)
