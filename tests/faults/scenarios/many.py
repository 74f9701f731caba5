"""Very many: tenants on one replica, and users who come and go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from tests.faults.checker import Got
from tests.faults.rows import row
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher
from tests.support.tokens import new_id
from tests.support.waiting import until

# A machine that does nothing else needs a few seconds.
PATIENCE_S = 120.0
AT_A_TIME = 20


@row("3,500 tenants on a replica whose Redis link breaks", replicas=1, redis_proxies=True, long=True,
     figure="B8", settings={"GATEWAY_CONNECT_TIMEOUT_S": "60"})  # fmt: skip
async def thousands_of_tenants(stage: Stage) -> None:
    await stage.open(rate=0)
    url, proxy = stage.ground.urls[0], stage.ground.redis_proxies[0]
    crowd = [stage.add(url, tenant=new_id()) for _ in range(stage.scale.times(3500, 60))]
    await _each(partial(_come, stage, watcher) for watcher in crowd)
    comebacks = sum(watcher.comebacks for watcher in crowd)
    await proxy.refuse()
    for _ in range(2):
        await _publish_to_each(stage, crowd)
    # Somebody waits for the tenant that came last: it comes first.
    awaited = stage.add(url, tenant=crowd[-1].tenant)
    began = stage.now()
    await proxy.start()
    await _come(stage, awaited)
    let_in_s = stage.now() - began
    await until(lambda: all(_has_two(watcher) for watcher in crowd), PATIENCE_S, "all tenants to be resynced")
    stage.notes.append(
        f"{len(crowd)} tenants resynced {stage.now() - began:.1f} s after Redis is back, "
        f"the one that somebody waits for after {let_in_s:.1f} s"
    )
    assert sum(watcher.comebacks for watcher in crowd) == comebacks, "sockets were dropped"
    await stage.publish()
    await stage.published(60)


async def _each(work: Iterable[Callable[[], Awaitable[object]]]) -> None:
    """Do things, `AT_A_TIME`."""
    gate = asyncio.Semaphore(AT_A_TIME)

    async def do(one: Callable[[], Awaitable[object]]) -> None:
        async with gate:
            await one()

    await asyncio.gather(*map(do, work))


async def _come(stage: Stage, watcher: Watcher) -> None:
    stage.let_stay(watcher)
    await until(lambda: watcher.named("connected"), PATIENCE_S, f"{watcher.name} to get in")


async def _publish_to_each(stage: Stage, crowd: list[Watcher]) -> None:
    backend = stage.backends[0]
    await _each(partial(backend.emit, one.tenant, f"organization:{one.tenant}") for one in crowd)


def _has_two(watcher: Watcher) -> bool:
    return sum(isinstance(entry, Got) for entry in watcher.diary.entries) >= 2
