"""All of it at once, by chance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.faults.rows import row
from tests.faults.scenarios.redis_gone import all_ready, cut_some
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher


@row(
    "everything at random: clients, links, replicas and Redis",
    persist=True,
    replicas=3,
    redis_proxies=True,
    settings={"GATEWAY_HISTORY_SIZE": "10000"},
    may_log=("redis_subscriber_deaf",),
    long=True,
)
async def everything(stage: Stage) -> None:
    await stage.open()
    faults: list[Callable[[Stage], Awaitable[None]]] = [
        *([_drop_some] * 6),
        *([_change_rooms] * 6),
        *([_cut_links] * 4),
        *(_stall_link, _deafen, _kill_replica, _drain_replica, _restart_redis),
    ]
    until_s = stage.now() + stage.scale.pick(45.0, 8.0)
    done: list[str] = []
    while stage.now() < until_s:
        fault = stage.random.choice(faults)
        done.append(fault.__name__.strip("_"))
        await fault(stage)
        await asyncio.sleep(stage.random.random() * 0.3)
    for proxy in stage.ground.redis_proxies:
        proxy.resume()
    stage.notes.append(", ".join(f"{done.count(name)} {name}" for name in sorted(set(done))))
    await asyncio.gather(*stage.chores)
    await all_ready(stage)
    await stage.all_connected()
    await stage.published(60)


async def _drop_some(stage: Stage) -> None:
    for watcher in stage.random.sample(stage.watchers, stage.random.randrange(1, len(stage.watchers))):
        watcher.drop()


async def _change_rooms(stage: Stage) -> None:
    """Have some clients leave a room and join another, through whatever happens meanwhile."""
    for watcher in stage.random.sample(stage.natives, len(stage.natives) // 2):
        rooms = watcher.settled_rooms
        if rooms:
            chosen = f"conversation:{stage.random.choice(stage.cast.conversations)}"
            stage.chores.append(asyncio.create_task(_move(watcher, stage.random.choice(rooms), chosen)))


async def _move(watcher: Watcher, old: str, new: str) -> None:
    await watcher.exit(old)
    await watcher.enter([new])


async def _cut_links(stage: Stage) -> None:
    cut_some(stage, stage.random.choice(stage.ground.redis_proxies))


async def _stall_link(stage: Stage) -> None:
    proxy = stage.random.choice(stage.ground.redis_proxies)
    proxy.stall()
    await asyncio.sleep(stage.random.random() * 3.0)
    proxy.resume()


async def _deafen(stage: Stage) -> None:
    proxy = stage.random.choice(stage.ground.redis_proxies)
    proxy.abandon(proxy.links_that_asked(b"SUBSCRIBE"))


async def _kill_replica(stage: Stage) -> None:
    replica = stage.random.choice(stage.ground.replicas)
    stage.ground.sample()
    replica.kill()
    await replica.restarted()


async def _drain_replica(stage: Stage) -> None:
    replica = stage.random.choice(stage.ground.replicas)
    stage.ground.sample()
    replica.terminate()
    assert await replica.ended() == 0
    await replica.restarted()


async def _restart_redis(stage: Stage) -> None:
    await asyncio.to_thread(stage.ground.redis.kill)
    await asyncio.sleep(stage.random.random())
    await asyncio.to_thread(stage.ground.redis.start)
