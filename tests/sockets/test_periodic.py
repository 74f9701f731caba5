"""Leases are renewed once a round, tenant by tenant, and nobody's waits for anybody else's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from gateway.core.model import Member, Tenant
from gateway.redis.connection import RedisUnavailable
from gateway.sockets.periodic import BATCH, PeriodicWork
from tests.core.parts import World
from tests.support.waiting import until

EVERY_S = 0.04


def tenants(*sizes: int) -> dict[str, Tenant]:
    found = {}
    for size in sizes:
        world = World()
        for _ in range(size):
            member, _ = world.member()
            world.tenant.members.add(member)
        found[world.tenant.id] = world.tenant
    return found


@asynccontextmanager
async def running(periodic: PeriodicWork) -> AsyncIterator[None]:
    periodic.start()
    try:
        yield
    finally:
        await periodic.stop()


class Work:
    """Counts calls by tenant; `fails` says what goes wrong."""

    def __init__(self, fails: Callable[[Tenant], BaseException | None] = lambda tenant: None) -> None:
        self.calls: Counter[str] = Counter()
        self.sizes: list[int] = []
        self._fails = fails

    async def __call__(self, tenant: Tenant, members: list[Member]) -> None:
        self.calls[tenant.id] += 1
        self.sizes.append(len(members))
        error = self._fails(tenant)
        if isinstance(error, asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        elif error is not None:
            raise error


async def test_each_has_its_turn_once_a_round() -> None:
    work, there = Work(), tenants(1, 1, 1)
    async with running(PeriodicWork("test", there, work, EVERY_S)):
        await until(lambda: work.calls.total() >= 9)
    assert max(work.calls.values()) - min(work.calls.values()) <= 1
    assert set(work.calls) == set(there)


async def test_the_members_of_a_large_tenant_are_taken_some_at_a_time() -> None:
    work = Work()
    await PeriodicWork("test", tenants(BATCH + 1, 0), work, EVERY_S).once()
    assert work.sizes == [BATCH, 1]


async def test_one_whose_work_hangs_holds_nobody_up() -> None:
    there = tenants(1, 1)
    hanging, other = there
    work = Work(lambda tenant: asyncio.CancelledError() if tenant.id == hanging else None)
    async with running(PeriodicWork("test", there, work, EVERY_S)):
        await until(lambda: work.calls[other] >= 5)
    assert work.calls[hanging] >= 1


async def test_what_fails_is_tried_again_and_said_once() -> None:
    there = tenants(1, 1)
    failing, other = there
    away = RedisUnavailable("away")
    work = Work(lambda tenant: away if tenant.id == failing and work.calls[failing] < 8 else None)
    async with running(PeriodicWork("test", there, work, EVERY_S)):
        await until(lambda: work.calls[failing] >= 8)
    # With every tick, and not once a round as the others.
    assert work.calls[other] < work.calls[failing]


async def test_who_has_gone_meanwhile_is_left_out() -> None:
    there = tenants(2)
    (tenant,) = there.values()
    gone = next(iter(tenant.members))
    work = Work()
    periodic = PeriodicWork("test", there, work, EVERY_S)
    batch = periodic._batches()[0]
    tenant.members.remove(gone)
    await periodic._do(*batch)
    assert work.sizes == [1]
