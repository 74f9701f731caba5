"""What happens to one of several servers of Redis: another takes its place, or its slots.

An event that the old master acknowledged and that no replica had got by then is gone with it. Whoever saw it is
told (`epoch`), and so is everyone of that tenant.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from publisher.topology import slot_of
from tests.faults.rows import row
from tests.faults.scenarios.redis_gone import LONG_HISTORY, delivering
from tests.faults.stage import Stage
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_sentinel import Sentinels
from tests.support.waiting import until

handed_over = partial(row, settings=LONG_HISTORY, long=True)
# What the new master never had is told.
lossy = partial(handed_over, tells=("epoch",), may_log=("history_lost",))


@lossy("a Cluster's master killed under load, its replica takes over", redis="cluster")
async def shard_killed(stage: Stage) -> None:
    cluster = _cluster(stage)
    await stage.open()
    await stage.published(60)
    await asyncio.to_thread(cluster.owner(stage.cast.tenant).kill)
    await delivering(stage)
    await stage.published(60)


@lossy("CLUSTER FAILOVER under load, there and back", redis="cluster")
async def shard_failed_over(stage: Stage) -> None:
    cluster = _cluster(stage)
    await stage.open()
    for _ in range(2):
        await stage.published(60)
        await asyncio.to_thread(lambda: cluster.fail_over(cluster.owner(stage.cast.tenant)))
        await delivering(stage)


@handed_over("a tenant's slot moved to another shard under load, key by key, and back", redis="cluster")
async def slot_migrated(stage: Stage) -> None:
    await _migrate(stage, RedisCluster.migrate)


@handed_over("a tenant's slot moved to another shard under load, in one step, and back", redis="cluster")
async def slot_migrated_at_once(stage: Stage) -> None:
    await _migrate(stage, RedisCluster.migrate_at_once)


@lossy("Sentinels: the master killed under load", redis="sentinels")
async def master_killed(stage: Stage) -> None:
    sentinels = _sentinels(stage)
    await stage.open()
    await stage.published(60)
    await asyncio.to_thread(sentinels.master.kill)
    await delivering(stage)
    await stage.published(60)


# Without the option the old master goes on taking events for a second or two, which nobody has afterwards.
@lossy(
    "SENTINEL FAILOVER under load, min-replicas-to-write 1",
    redis="sentinels",
    redis_options=("--min-replicas-to-write", "1"),
)
async def master_failed_over(stage: Stage) -> None:
    sentinels = _sentinels(stage)
    await stage.open()
    await stage.published(60)
    before = sentinels.replica
    await asyncio.to_thread(sentinels.fail_over)
    await until(lambda: asyncio.to_thread(sentinels.is_master, before), what="the replica to be master")
    await delivering(stage)
    await stage.published(60)


async def _migrate(stage: Stage, migrate: Callable[..., None]) -> None:
    cluster, tenant = _cluster(stage), stage.cast.tenant
    await stage.open()
    source = cluster.owner(tenant)
    target = cluster.other_master(source)
    for here, there in ((source, target), (target, source)):
        await stage.published(60)
        await asyncio.to_thread(migrate, cluster, slot_of(f"{{{tenant}}}"), here, there)
        await delivering(stage)
    await stage.published(60)


def _cluster(stage: Stage) -> RedisCluster:
    assert isinstance(stage.ground.several, RedisCluster)
    return stage.ground.several


def _sentinels(stage: Stage) -> Sentinels:
    assert isinstance(stage.ground.several, Sentinels)
    return stage.ground.several
