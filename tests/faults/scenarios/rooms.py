"""Rooms that are joined and left, sockets that come and come back, while something is in the way."""

from __future__ import annotations

import asyncio

from tests.faults.rows import row
from tests.faults.scenarios.redis_gone import LONG_HISTORY
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher
from tests.support.waiting import until

# A session that nobody renews lives for the window and 10 s.
SHORT_WINDOW = {"GATEWAY_RECOVERY_WINDOW_S": "2"}


@row(
    "rooms changed while answers of Redis are lost, then everybody drops",
    redis_proxies=True,
    settings=LONG_HISTORY,
)
async def rooms_changed(stage: Stage) -> None:
    await stage.open()
    for round_number in range(stage.scale.times(20, 4)):
        proxy = stage.ground.redis_proxies[round_number % len(stage.ground.redis_proxies)]
        # Redis does what it is asked, and nobody hears so.
        proxy.lose_replies()
        moves = [asyncio.create_task(_move(stage, watcher)) for watcher in stage.natives]
        await stage.published(stage.random.randrange(1, 30))
        proxy.resume()
        proxy.cut()
        await stage.published(10)
        for watcher in stage.watchers:
            watcher.drop()
        await asyncio.gather(*moves)
        await stage.all_connected()
        await stage.published(20)
    doubts = sum(len(replica.log_lines("session_in_doubt")) for replica in stage.ground.replicas)
    stage.notes.append(f"{doubts} sockets closed in doubt")


async def _move(stage: Stage, watcher: Watcher) -> None:
    rooms = watcher.settled_rooms
    if rooms:
        await watcher.exit(stage.random.choice(rooms))
    await watcher.enter([f"conversation:{stage.random.choice(stage.cast.conversations)}"])


@row("tabs that open while others recover, over a link that stalls", redis_proxies=True, settings=LONG_HISTORY)
async def tabs_while_recovering(stage: Stage) -> None:
    await stage.open()
    target, proxy = stage.ground.urls[-1], stage.ground.redis_proxies[-1]
    for _ in range(stage.scale.times(20, 4)):
        coming = [watcher for watcher in stage.natives if not watcher.diary.ended]
        for watcher in coming:
            watcher.drop()
        tabs = [stage.add(target, user=watcher.user) for watcher in coming[:10]]
        arrivals = [asyncio.create_task(tab.arrive()) for tab in tabs]
        # What has been asked is answered all at once, ahead of what was published meanwhile.
        hearing = proxy.links_that_asked(b"SUBSCRIBE")
        for _ in range(4):
            proxy.stall(hearing)
            await stage.published(3)
            for link in hearing:
                link.resume()
        await asyncio.gather(*arrivals)
        await stage.all_connected()
        for tab in tabs:
            tab.diary.ended = True
            tab.drop()
    await stage.published(20)


@row(
    "a client that drops during a slow replay, and comes back when the rest of it is gone",
    tells=("trimmed", "expired"),
    client_proxies=True,
    long=True,
    settings={
        "GATEWAY_HISTORY_SIZE": "2000",
        "GATEWAY_HISTORY_MAX_EVENTS": "2000",
        "GATEWAY_PING_INTERVAL_S": "2",
        "GATEWAY_PING_TIMEOUT_S": "8",
        "GATEWAY_RECOVERY_WINDOW_S": "20",
    },
)
async def slow_replay(stage: Stage) -> None:
    await stage.open(rate=20.0)
    room = f"conversation:{stage.cast.conversations[0]}"
    slow = stage.add(stage.ground.urls[0])
    await slow.arrive()
    await slow.enter([room])
    slow.drop()
    await slow.dropped()
    backend, proxy = stage.backends[0], stage.ground.client_proxies[1]
    await backend.burst(stage.cast.tenant, room, times=1500, pad=2500)
    others = set(proxy.links)
    arriving = asyncio.create_task(slow.come_back(stage.ground.urls[1]))
    await until(lambda: set(proxy.links) - others, what="the connection to be there")
    proxy.throttle(100_000, set(proxy.links) - others)
    # Longer than a dead socket may go unnoticed: from then on a renewal may vouch for what it got.
    began = stage.now()
    await until(lambda: stage.now() - began > 28.0, 60.0, what="a renewal behind that")
    arriving.cancel()
    slow.drop()
    await backend.burst(stage.cast.tenant, room, times=2000)
    await slow.come_back()
    stage.let_stay(slow)
    await stage.published(20)


@row(
    "a replica frozen for longer than its sessions live, then thawed",
    settings=LONG_HISTORY | SHORT_WINDOW,
    tells=("expired", "unknown"),
    long=True,
)
async def frozen_beyond_window(stage: Stage) -> None:
    await stage.open()
    replica = stage.ground.replicas[0]
    stuck = [watcher for watcher in stage.watchers if watcher.url == replica.url]
    await stage.published(40)
    replica.pause()
    began = stage.now()
    for watcher in stuck[::2]:
        watcher.drop()
    await until(lambda: stage.now() - began > 14.0, 40.0, what="the sessions to be over")
    replica.resume()
    await stage.published(40)
    await stage.all_connected()
    for watcher in stage.watchers:
        watcher.drop()
    await stage.all_connected()
    await stage.published(40)
