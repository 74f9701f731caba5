"""What happens to Redis, and to the way there."""

from __future__ import annotations

import asyncio
from functools import partial

from tests.faults.rows import row
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher
from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_S, until

LONG_HISTORY = {"GATEWAY_HISTORY_SIZE": "10000"}
DEAF = ("redis_subscriber_deaf",)
silent = partial(row, redis_proxies=True, settings=LONG_HISTORY, may_log=DEAF, long=True)


@row("Redis connection cut for 10 s", redis_proxies=True, settings=LONG_HISTORY)
async def cut_off(stage: Stage) -> None:
    await stage.open()
    here, *others = stage.ground.replicas
    away = stage.ground.redis_proxies[: stage.random.choice((1, len(stage.ground.replicas)))]
    await stage.published(50)
    for proxy in away:
        await proxy.refuse()
    await until(lambda: stage.ground.readiness(here), what="an answer")
    await _becomes(stage, 0, 503)
    if len(away) == 1:
        assert await stage.ground.readiness(others[0]) == 200
    await asyncio.sleep(stage.scale.pick(10.0, 1.5))
    comebacks = sum(watcher.comebacks for watcher in stage.watchers)
    for proxy in away:
        await proxy.start()
    await delivering(stage)
    assert sum(watcher.comebacks for watcher in stage.watchers) == comebacks, "sockets were dropped"
    stage.notes.append(f"{len(away)} of {len(stage.ground.replicas)} replicas were cut off")


@silent("Redis link half-open: packets vanish, nothing closes, then the network is back")
async def half_open(stage: Stage) -> None:
    await stage.open()
    await stage.published(50)
    proxy = stage.ground.redis_proxies[0]
    began = stage.now()
    proxy.stall()
    await _becomes(stage, 0, 503)
    stage.notes.append(f"not ready after {stage.now() - began:.1f} s")
    await asyncio.sleep(stage.scale.pick(20.0, 0.0))
    proxy.resume()
    await delivering(stage, within_s=stage.scale.pick(5.0, PATIENCE_S))


@silent("the subscriber's link alone goes silent for good")
async def deaf(stage: Stage) -> None:
    await stage.open()
    for i, proxy in enumerate(stage.ground.redis_proxies[: stage.scale.times(2, 1)]):
        await stage.published(50)
        began = stage.now()
        proxy.abandon(proxy.links_that_asked(b"SUBSCRIBE"))
        await _becomes(stage, i, 503)
        noticed = stage.now() - began
        await _becomes(stage, i, 200)
        stage.notes.append(f"not ready after {noticed:.1f} s, healed by itself after {stage.now() - began:.1f} s")


@silent("all links to Redis go silent for good, new ones are fine")
async def abandoned(stage: Stage) -> None:
    await stage.open()
    await stage.published(50)
    began = stage.now()
    stage.ground.redis_proxies[0].abandon()
    await _becomes(stage, 0, 503)
    await _becomes(stage, 0, 200)
    stage.notes.append(f"healed by itself after {stage.now() - began:.1f} s")


@row("Redis link reset 4 times", redis_proxies=True)
async def resets(stage: Stage) -> None:
    await stage.open()
    for _ in range(4):
        await stage.published(stage.random.randrange(30, 120))
        for proxy in stage.ground.redis_proxies:
            proxy.cut()
    await stage.published(30)


@row("Redis link reset again and again, also halfway through the resync", redis_proxies=True)
async def many_resets(stage: Stage) -> None:
    await stage.open()
    for _ in range(stage.scale.times(100, 25)):
        for proxy in stage.ground.redis_proxies:
            cut_some(stage, proxy)
        await asyncio.sleep(stage.random.choice((0.0, 0.003, 0.01, 0.03, 0.1)))
    await all_ready(stage)
    await stage.published(30)
    links = [len(proxy.links) for proxy in stage.ground.redis_proxies]
    assert max(links) <= 2, f"connections were leaked: {links}"


@row("Redis stopped and started again with its data", persist=True)
async def restarted(stage: Stage) -> None:
    await stage.open()
    for _ in range(2):
        await stage.published(60)
        await asyncio.to_thread(stage.ground.redis.stop)
        await asyncio.sleep(stage.scale.pick(2.0, 0.3))
        await asyncio.to_thread(stage.ground.redis.start)
        await delivering(stage)


@row("Redis killed, back after 2 s with its data", persist=True, settings=LONG_HISTORY, real=True)
async def redis_killed(stage: Stage) -> None:
    await stage.open()
    await stage.published(stage.scale.times(1000, 60))
    await asyncio.to_thread(stage.ground.redis.kill)
    await asyncio.sleep(2.0)
    await asyncio.to_thread(stage.ground.redis.start)
    await delivering(stage)
    await stage.published(stage.scale.times(1000, 60))


@row("Redis killed, back without its data", tells=("epoch",), may_log=("history_lost",))
async def emptied(stage: Stage) -> None:
    await stage.open()
    await stage.published(60)
    await asyncio.to_thread(stage.ground.redis.kill)
    await asyncio.sleep(stage.scale.pick(3.0, 0.5))
    await asyncio.to_thread(stage.ground.redis.start)
    await all_told(stage)


@row(
    "the subscriber's link silent while Redis loses its data: nobody hears of it, everybody is told",
    redis_proxies=True,
    tells=("epoch",),
    may_log=("history_lost", *DEAF),
)
async def deaf_and_flushed(stage: Stage) -> None:
    await stage.open()
    await stage.published(60)
    await stage.publish(0)
    proxy = stage.ground.redis_proxies[0]
    proxy.abandon(proxy.links_that_asked(b"SUBSCRIBE"))
    await stage.backends[0].burst(stage.cast.tenant, f"organization:{stage.cast.tenant}", times=5)
    await stage.flush_redis()
    # The first sign of the new epoch comes with someone who connects, not over the link that is silent.
    newcomer = stage.add(stage.ground.urls[0])
    stage.let_stay(newcomer)
    await until(lambda: all(_was_told(watcher) for watcher in stage.natives[:-1]), what="everyone to be told")
    await stage.publish()
    await stage.all_connected()
    await stage.published(60)


@row("Redis flushed while everything is connected", tells=("epoch",), may_log=("history_lost",), real=True)
async def flushed(stage: Stage) -> None:
    await stage.open()
    await stage.published(60)
    await stage.flush_redis()
    await all_told(stage)


@row("Redis away for 35 s, then back", persist=True, settings=LONG_HISTORY, long=True)
async def away(stage: Stage) -> None:
    await stage.open(rate=120.0)
    await stage.published(60)
    await asyncio.to_thread(stage.ground.redis.stop)
    await asyncio.sleep(stage.scale.pick(35.0, 5.0))
    await asyncio.to_thread(stage.ground.redis.start)
    began = stage.now()
    await delivering(stage, within_s=stage.scale.pick(2.0, PATIENCE_S))
    stage.notes.append(f"everyone hears again {stage.now() - began:.2f} s after its return")


async def delivering(stage: Stage, within_s: float = PATIENCE_S) -> None:
    """Wait until everyone gets what is published from now on."""
    counts = {watcher: len(watcher.diary.entries) for watcher in stage.watchers}
    late: list[Watcher] = []

    def all_heard() -> bool:
        late[:] = [watcher for watcher, count in counts.items() if len(watcher.diary.entries) == count]
        return not late

    await until(all_heard, within_s, "everyone to get events again")


def _was_told(watcher: Watcher) -> bool:
    greetings = [event.data for event in watcher.named("connected")]
    return any(greeting.get("reason") == "epoch" for greeting in greetings)


async def _becomes(stage: Stage, index: int, status: int) -> None:
    """Wait until a replica answers with this status when it is asked whether it is ready."""

    async def has_become() -> bool:
        return await stage.ground.readiness(stage.ground.replicas[index]) == status

    await until(has_become, what=f"readiness {status}")


async def all_ready(stage: Stage) -> None:
    """Wait until all replicas are ready at once."""

    async def are_ready() -> bool:
        return all([await stage.ground.readiness(replica) == 200 for replica in stage.ground.replicas])

    await until(are_ready, what="all replicas to be ready")


def cut_some(stage: Stage, proxy: Proxy) -> None:
    """Cut some of a proxy's links, at random."""
    proxy.cut(stage.random.sample(sorted(proxy.links, key=id), stage.random.randrange(len(proxy.links) + 1)))


async def all_told(stage: Stage) -> None:
    """Wait until everyone was told of a new epoch, and gets events again."""
    await until(lambda: all(_was_told(watcher) for watcher in stage.watchers), what="everyone to be told")
    await stage.all_connected()
    await stage.published(60)
