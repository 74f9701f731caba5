"""Periodic work for every member of this replica: tenant by tenant, spread over the period."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from gateway.core.model import Member, Tenant
from gateway.errors import Unavailable
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.sockets.members import log
from gateway.tasks import cancelled

TICK_S = 1.0
# Fewest ticks in a round.
TICKS = 4
# Most members in one call. Redis does nothing else meanwhile.
BATCH = 500

Batch = tuple[Tenant, list[Member]]


class PeriodicWork:
    """Calls `work(tenant, members)` for the members of every tenant, once in `every_s` seconds.

    A call that fails is made again with the next tick. No call waits for another: a shard of Redis that is down
    must not end the leases of other shards' tenants.
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
        """Begin the rounds, which come at regular times until `stop`."""
        self._runner = asyncio.create_task(self._run(), name=self._name)

    async def stop(self) -> None:
        """Cancel the rounds and the calls under way."""
        await cancelled(self._runner, *self._under_way)

    async def once(self) -> None:
        """Do a whole round now; raises the errors of `work`."""
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
        # A member that has gone meanwhile is left out: the end of its lease was set when it left.
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
