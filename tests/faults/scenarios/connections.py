"""What happens to the connection between a client and its replica."""

from __future__ import annotations

import asyncio

from tests.faults.rows import row
from tests.faults.stage import Stage
from tests.faults.watcher import Watcher
from tests.support.client import Refused
from tests.support.waiting import SLACK_S, until

QUICK_HEARTBEAT = {"GATEWAY_PING_INTERVAL_S": "0.3", "GATEWAY_PING_TIMEOUT_S": "2"}


@row("a client's TCP connection cut, 100 times at random", harmless=True, real=True)
async def cuts(stage: Stage) -> None:
    await stage.open()
    for _ in range(stage.scale.times(100, 25)):
        stage.random.choice(stage.watchers).drop()
        if stage.pages and stage.random.random() < 0.1:
            stage.random.choice(stage.pages).browser.cut()
        await stage.published(stage.random.randrange(20))


@row("many clients connect and join at once, while events flow", harmless=True)
async def arrivals(stage: Stage) -> None:
    await stage.open(rate=40.0, clients=4)
    tenant, room = stage.cast.tenant, f"conversation:{stage.cast.conversations[0]}"
    for _ in range(stage.scale.times(20, 4)):
        newcomers = [stage.add(stage.random.choice(stage.ground.urls)) for _ in range(25)]
        everyone, talk = f"organization:{tenant}", asyncio.ensure_future(_arrive_all(newcomers, room))
        while not talk.done():
            await stage.each(backend.burst(tenant, everyone, room, times=10) for backend in stage.backends)
            await stage.each(backend.burst(tenant, everyone, times=5) for backend in stage.backends)
        await talk
        await stage.each(_leave_for_good(watcher) for watcher in newcomers)


async def _arrive_all(newcomers: list[Watcher], room: str) -> None:
    await asyncio.gather(*(watcher.arrive() for watcher in newcomers))
    await asyncio.gather(*(watcher.enter([room]) for watcher in newcomers))


async def _leave_for_good(watcher: Watcher) -> None:
    watcher.diary.ended = True
    watcher.drop()


@row("two drops in a row with no event between", harmless=True)
async def two_drops(stage: Stage) -> None:
    await stage.open(stay=False)
    for _ in range(stage.scale.times(4, 2)):
        await stage.silence()
        for _ in range(2):
            await stage.each(_drop_and_return(stage, watcher) for watcher in stage.watchers)
        await stage.publish()
        await stage.published(30)
        # While events flow: the second drop hits what the recovery has just handed over.
        for _ in range(2):
            await stage.each(_drop_and_return(stage, watcher) for watcher in stage.watchers)


@row("five drops in a row, each right after the recovery before", harmless=True)
async def five_drops(stage: Stage) -> None:
    await stage.open(stay=False)
    for _ in range(5):
        await stage.each(_drop_and_return(stage, watcher) for watcher in stage.watchers)


@row("reconnect within 10 ms of a drop, 200 times", harmless=True)
async def at_once(stage: Stage) -> None:
    await stage.open(stay=False)
    quick, times, slowest = 0, stage.scale.times(200, 60), 0.0
    while quick < times:
        watcher = stage.random.choice(stage.watchers)
        watcher.drop()
        began = stage.now()
        connecting = asyncio.create_task(watcher.reconnect(stage.random.choice(stage.ground.urls)))
        await asyncio.sleep(0)
        took_s = stage.now() - began
        # On a busy machine the test itself may take longer: that one does not count.
        quick, slowest = quick + (took_s < 0.01), max(slowest, took_s)
        await connecting
        assert watcher.recovered, f"{watcher.name} came back at once and was not recovered"
    stage.notes.append(f"{quick} within 10 ms, the slowest after {slowest * 1000:.0f} ms")


@row("the old socket still open when the new one recovers", client_proxies=True)
async def old_socket_open(stage: Stage) -> None:
    await stage.open(stay=False)
    here = stage.ground.urls
    for _ in range(stage.scale.times(3, 1)):
        for stays_there in (True, False):
            moved = [watcher for watcher in stage.watchers if not watcher.diary.ended]
            for proxy in stage.ground.client_proxies:
                proxy.abandon()  # the replicas hear nothing of the end
            for watcher in moved:
                watcher.drop()
            urls = {watcher: watcher.url if stays_there else _next(here, watcher.url) for watcher in moved}
            await stage.each(watcher.reconnect(urls[watcher]) for watcher in moved)
            assert all(watcher.recovered for watcher in moved)
            await until(
                lambda: stage.ground.sockets() == len(stage.everyone()),
                SLACK_S,  # less than a heartbeat and its answer may take, by which they would go, too
                "the old sockets to be gone, unasked",
            )
            await stage.published(50)


@row(
    "a network black hole of 60 s, half of the clients in it",
    client_proxies=True,
    settings=QUICK_HEARTBEAT | {"GATEWAY_HISTORY_SIZE": "5000"},
    long=True,
)
async def black_hole(stage: Stage) -> None:
    await stage.open()
    await stage.published(100)
    hole = stage.ground.client_proxies[0]
    hole.stall()
    await asyncio.sleep(stage.scale.pick(60.0, 4.0))
    stage.notes.append(f"{stage.ground.replicas[0].health()['sockets']} sockets left in the hole when it ended")
    hole.resume()
    await stage.all_connected()
    await stage.published(100)


@row(
    "recovery long after connecting: many heartbeats, history shorter than the silence",
    settings=QUICK_HEARTBEAT | {"GATEWAY_HISTORY_TTL_S": "24", "GATEWAY_RECOVERY_WINDOW_S": "18"},
    long=True,
)
async def long_after(stage: Stage) -> None:
    await stage.open(stay=False)
    await stage.silence()
    # That a silent client had everything is known of it every 5 s, for the time before two heartbeats and 5 s.
    await asyncio.sleep(stage.scale.pick(60.0, 25.0))
    assert all(watcher.connected for watcher in stage.watchers), "an idle client was dropped"
    await stage.each(_drop_and_return(stage, watcher) for watcher in stage.watchers)
    assert all(watcher.recovered for watcher in stage.watchers), "silence was taken for a hole"
    for watcher in stage.watchers:
        watcher.drop()
    await stage.publish()
    await stage.published(30)
    await stage.each(watcher.reconnect() for watcher in stage.watchers)


@row("a client that connects, and drops before any event", harmless=True)
async def before_any_event(stage: Stage) -> None:
    await stage.open(rate=0)
    newcomers = [stage.add(stage.random.choice(stage.ground.urls)) for _ in range(stage.scale.times(20, 6))]
    await stage.each(watcher.connect() for watcher in newcomers)
    await stage.publish()
    for watcher in newcomers:
        watcher.drop()
    await stage.published(20)
    tenant = stage.cast.tenant
    for watcher in newcomers:
        await stage.backends[0].emit(tenant, f"user:{watcher.user}", f"organization:{tenant}")
    await stage.each(watcher.reconnect() for watcher in newcomers)
    assert all(watcher.recovered for watcher in newcomers)


@row("the same pid presented twice at once", harmless=True, real=True)
async def twice_at_once(stage: Stage) -> None:
    await stage.open()
    twins: list[tuple[Watcher, Watcher]] = []
    for i in range(stage.scale.times(40, 10)):
        first = stage.add(stage.ground.urls[0], user=stage.cast.users[0])
        await first.connect()
        await first.enter([f"conversation:{stage.cast.conversations[0]}"])
        second = stage.twin_of(first)
        first.drop()
        await first.dropped()
        other = stage.ground.urls[i % len(stage.ground.urls)]
        pauses = stage.random.random() * 0.004, stage.random.random() * 0.004
        await asyncio.gather(_return_after(first, pauses[0]), _return_after(second, pauses[1], other))
        twins.append((first, second))
    lone = [watcher for watcher in stage.watchers if not any(watcher in pair for pair in twins)]
    await until(
        lambda: sum(a.connected + b.connected for a, b in twins) == len(twins), what="one of each two to remain"
    )
    await until(
        lambda: stage.ground.sockets() == len(lone) + len(stage.pages) + len(twins),
        what="no socket to be left over",
    )
    await stage.published(50)
    for pair in twins:
        for watcher in pair:
            watcher.diary.ended = not watcher.connected


async def _return_after(watcher: Watcher, pause_s: float, url: str | None = None) -> None:
    await asyncio.sleep(pause_s)
    try:
        await watcher.reconnect(url)
    except (OSError, Refused):
        assert not watcher.connected  # sent away while it was connecting: the other one came later


async def _drop_and_return(stage: Stage, watcher: Watcher) -> None:
    watcher.drop()
    await watcher.dropped()
    await watcher.reconnect(stage.random.choice(stage.ground.urls))
    assert watcher.recovered, f"{watcher.name} was not recovered"


def _next(urls: list[str], url: str) -> str:
    return urls[(urls.index(url) + 1) % len(urls)]
