"""What happens to publishes: answers that are lost for long, writes that are refused, too large events."""

from __future__ import annotations

import asyncio
import json

import redis.asyncio

from publisher import Room, wire
from tests.faults.backend import Backend
from tests.faults.rows import row
from tests.faults.scenarios.redis_gone import delivering
from tests.faults.stage import Stage
from tests.support.waiting import until

TRIES_S = 20.0


@row("answers of publishes are lost until their keys have ended, and they are tried again")
async def answers_lost_for_long(stage: Stage) -> None:
    proxy = await stage.open_behind_proxy()
    for _ in range(stage.scale.times(10, 2)):
        await stage.published(30)
        before = [(await backend.counters())["retries"] for backend in stage.backends]
        proxy.lose_replies()

        async def tried_again(before: list[int] = before) -> bool:
            counts = [(await backend.counters())["retries"] for backend in stage.backends]
            return all(count > known for count, known in zip(counts, before, strict=True))

        await until(tried_again, TRIES_S, "publishes to be tried again")
        await _end_keys(stage)
        proxy.resume()
        proxy.cut()
    await stage.published(30)


@row("webhooks that WhatsApp repeats when their keys have ended: a status never falls back", harmless=True)
async def late_webhooks(stage: Stage) -> None:
    await stage.open()
    backend, tenant = stage.backends[0], stage.cast.tenant
    talks = [f"conversation:{talk}" for talk in stage.cast.conversations]
    for i, room in enumerate(talks):
        await backend.emit(tenant, room, key=f"status-{i}", version=3)
    await stage.published(20)
    async with stage.ground.client_of(tenant) as client:
        for i in range(len(talks)):
            await client.delete(wire.once_key(tenant, f"status-{i}"))
    late = [
        ident
        for i, room in enumerate(talks)
        for ident in await backend.burst(tenant, room, times=1, key=f"status-{i}", version=2)
    ]
    found = await _logged(stage, backend, talks, late)
    assert not found, f"{len(found)} of {len(late)} statuses fell back"


@row("Redis refuses writes again and again, in the middle of batches")
async def refused_in_the_middle(stage: Stage) -> None:
    await stage.open()
    await stage.published(20)
    room = f"conversation:{stage.cast.conversations[0]}"
    over = asyncio.Event()

    async def change_its_mind() -> None:
        async with redis.asyncio.Redis.from_url(stage.ground.redis.url) as client:
            while not over.is_set():
                for least in ("1", "0"):
                    await client.config_set("min-replicas-to-write", least)

    changing = asyncio.ensure_future(change_its_mind())
    try:
        for backend in stage.backends:
            await backend.burst(stage.cast.tenant, room, times=stage.scale.times(1500, 500))
    finally:
        over.set()
        await changing
    retries = [(await backend.counters())["retries"] for backend in stage.backends]
    stage.notes.append(f"{sum(retries)} writes were refused")
    await stage.published(20)


@row(
    "events that are too large for the gateways: refused, and nobody is cut",
    settings={"GATEWAY_MAX_BUFFER_BYTES": "65536"},
)
async def too_large(stage: Stage) -> None:
    await stage.open()
    backend, room = stage.backends[0], f"conversation:{stage.cast.conversations[0]}"
    for _ in range(stage.scale.times(20, 4)):
        await stage.published(10)
        idents = await backend.burst(stage.cast.tenant, room, times=5, pad=100_000)
        found = await _logged(stage, backend, [room], idents)
        assert not found, f"{len(found)} events that are too large were published"
    counters = await backend.counters()
    assert counters["failed"] == 5 * stage.scale.times(20, 4)
    cut = sum(replica.health()["slow_cut"] for replica in stage.ground.replicas)
    assert cut == 0, f"{cut} sockets were cut"


@row(
    "Redis unreachable for 60 s while 183 events a second are published, default history",
    redis_proxies=True,
    may_log=("redis_subscriber_deaf",),
    long=True,
)
async def black_hole(stage: Stage) -> None:
    await stage.open(rate=183.0)
    await stage.published(60)
    for proxy in stage.ground.redis_proxies:
        proxy.stall()
    # A page that comes back meanwhile finds no Redis: all that are connected have to wait.
    await asyncio.sleep(stage.scale.pick(60.0, 1.0))
    await _busy_room(stage)
    for proxy in stage.ground.redis_proxies:
        proxy.resume()
        proxy.cut()
    await delivering(stage)


@row("Redis away for 10 s while 100 events a second are published, default history", persist=True, long=True)
async def away_with_defaults(stage: Stage) -> None:
    await stage.open(rate=100.0)
    await stage.published(60)
    await asyncio.to_thread(stage.ground.redis.stop)
    await asyncio.sleep(stage.scale.pick(10.0, 1.0))
    await _busy_room(stage)
    await asyncio.to_thread(stage.ground.redis.start)
    await delivering(stage)


async def _busy_room(stage: Stage) -> None:
    """Publish more to one room than `GATEWAY_HISTORY_SIZE`; at full length that comes by itself."""
    room = f"conversation:{stage.cast.conversations[0]}"
    for _ in range(stage.scale.times(0, 14)):
        await stage.backends[0].burst(stage.cast.tenant, room, times=50)


async def _logged(stage: Stage, backend: Backend, rooms: list[str], idents: list[str]) -> set[str]:
    """Return which of these events are in rooms' logs, and forget how they were answered."""
    await backend.flushed()
    for ident in idents:
        backend.published.pop(ident, None)
    backend.refused = [line for line in backend.refused if line.partition(":")[0] not in idents]
    found: set[str] = set()
    async with stage.ground.client_of(stage.cast.tenant) as client:
        for room in rooms:
            for _, fields in await client.xrange(wire.log_key(stage.cast.tenant, Room(room))):
                found.add(json.loads(fields[wire.LogField.BODY])[1].get("n"))
    return found & set(idents)


async def _end_keys(stage: Stage) -> None:
    """Have all idempotency keys end now, as they do by themselves after ten minutes."""
    for tenant in (stage.cast.tenant, stage.cast.foreign):
        async with stage.ground.client_of(tenant) as client:
            pattern = wire.once_key(tenant, "*")
            async for key in client.scan_iter(pattern, count=1000):
                await client.delete(key)
