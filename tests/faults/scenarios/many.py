"""Very many: tenants on one replica, and users who come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from publisher import wire
from publisher.offsets import SEQ_PER_S
from tests.faults.checker import Got
from tests.faults.rows import row
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher
from tests.support.tokens import new_id
from tests.support.waiting import until

# A machine that does nothing else needs a few seconds.
PATIENCE_S = 120.0
AT_A_TIME = 20
# Users of yesterday, of whom nobody who comes back can have missed anything.
FORMER_USERS = 20_000
DAY_S = 86_400.0
OF_EVENTS = ("log", "tail", "latest", "once", "lane", "versions")


@row(
    "3,500 tenants on a replica whose Redis link breaks",
    replicas=1,
    redis_proxies=True,
    long=True,
    settings={"GATEWAY_CONNECT_TIMEOUT_S": "60"},
)
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


@row(
    "users who come, join, are cut, and never come back, by the thousand",
    long=True,
    settings={
        "GATEWAY_RECOVERY_WINDOW_S": "2",
        "GATEWAY_PING_INTERVAL_S": "4",
        "GATEWAY_PING_TIMEOUT_S": "4",
        "GATEWAY_PRESENCE_GRACE_S": "1",
        "GATEWAY_PRESENCE_LEASE_S": "3",
    },
)
async def passers_by(stage: Stage) -> None:
    await stage.open(clients=8)
    key = wire.prefix(stage.cast.tenant)
    long_ago = (time.time() - DAY_S) * SEQ_PER_S
    async with stage.ground.client_of(stage.cast.tenant) as client:
        await client.zadd(f"{key}changes", {f"user-{i}": long_ago + i for i in range(FORMER_USERS)})
        sizes, passed = [], 0
        for _ in range(2):
            ends = stage.now() + stage.scale.pick(45.0, 4.0)
            while stage.now() < ends:
                await _each(partial(_pass_by, stage) for _ in range(AT_A_TIME))
                passed += AT_A_TIME
            sizes.append(await _kept_of_people(client, key))
        changes = await client.zcard(f"{key}changes")
    assert changes < FORMER_USERS / 2, f"{changes} changes are remembered, most of them for nobody"
    assert sizes[1] <= 1.5 * sizes[0] + 65_536, f"Redis grows: {sizes}"
    shown = " and ".join(f"{size >> 10} KiB" for size in sizes)
    stage.notes.append(
        f"{passed} users passed by; Redis kept {shown} of people, after half of them and in the end"
    )


async def _pass_by(stage: Stage) -> None:
    """Come as a new user, join a conversation, and be cut."""
    one = stage.add(stage.random.choice(stage.ground.urls))
    one.diary.ended = True
    await one.arrive()
    await one.enter([f"conversation:{stage.random.choice(stage.cast.conversations)}"])
    one.drop()
    await one.dropped()


async def _kept_of_people(client: Any, prefix: str) -> int:
    """Add up the memory of a tenant's keys but for those of its events."""
    size = 0
    async for key in client.scan_iter(f"{prefix}*".replace("{", "[{]"), count=1000):
        if not key.startswith(tuple(f"{prefix}{family}:".encode() for family in OF_EVENTS)):
            size += await client.memory_usage(key) or 0
    return size
