"""What goes wrong, drawn at random: to one tab, to a replica, to Redis, to the ways between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import redis.asyncio
from redis.exceptions import RedisError

from tests.faults.torture.pages import Tab
from tests.support.proxy import Link, Proxy
from tests.support.replica import Replica
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.faults.torture.trial import Trial

# Between two faults of tabs, on average.
SMALL_S = 0.3
READY_S = 60.0

Fault = Callable[[], Awaitable[None]]


class Chaos:
    """Does one thing after the other; what lasts goes on beside the next."""

    def __init__(self, trial: Trial) -> None:
        self.counts: Counter[str] = Counter()
        self._trial = trial
        self._draw = trial.draw
        self._lasting: set[asyncio.Future[None]] = set()
        self._redis = asyncio.Lock()
        self._busy: set[Replica] = set()
        self._small: list[Fault] = [
            *([self._swap_rooms] * 24),
            *([self._hop] * 10),
            *([self._look_again] * 4),
            *([self._type] * 4),
            *([self._cut_tab] * 10),
            *([self._cut_many] * 1),
            *([self._stall_tab] * 5),
            *([self._black_hole] * 3),
            *([self._offline] * 5),
            *([self._slow_tab] * 4),
            *([self._deaf_tab] * 4),
            *([self._open_tab] * 6),
            *([self._close_tab] * 5),
            *([self._burst] * 3),
        ]
        self._large: list[Fault] = [
            *([self._cut_bus] * 3),
            *([self._stall_bus] * 4),
            *([self._arrive_behind_stall] * 6),
            *([self._kill_replica] * 2),
            *([self._drain_replica] * 2),
            *([self._freeze_replica] * 3),
            *([self._freeze_long] * 2),
            *([self._kill_redis] * 2),
            *([self._stop_redis] * 3),
            *([self._pause_redis] * 3),
            *([self._kill_links] * 2),
        ]

    async def run(self, seconds: float) -> None:
        """Go on for so long, and until what lasts is over."""
        until_at = asyncio.get_running_loop().time() + seconds
        await asyncio.gather(
            self._go_on(self._small, SMALL_S, until_at),
            self._go_on(self._large, self._trial.calm_s, until_at),
        )
        self._trial.say("quiet")
        while self._lasting:
            await asyncio.wait(self._lasting)

    async def _go_on(self, faults: list[Fault], pause_s: float, until_at: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(self._draw.expovariate(1 / pause_s), max(0.0, until_at - loop.time())))
            if loop.time() >= until_at:
                return
            fault = self._draw.choice(faults)
            self.counts[fault.__name__.strip("_")] += 1
            await fault()

    def _last(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._lasting.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._lasting.discard(task)
        error = task.exception()
        if error is not None:
            self._trial.troubles.append(f"a fault could not be made or mended: {error!r}")

    async def _after(self, seconds: float, do: Callable[[], object], what: str) -> None:
        await asyncio.sleep(seconds)
        do()
        self._trial.say(what)

    def _tab(self) -> Tab:
        return self._draw.choice(self._trial.open_tabs)

    def _some(self, most: int) -> list[Tab]:
        tabs = self._trial.open_tabs
        return self._draw.sample(tabs, min(len(tabs), self._draw.randrange(1, most + 1)))

    def _while(self, least: float, most: float) -> float:
        return self._draw.uniform(least, most)

    # -- rooms

    async def _swap_rooms(self) -> None:
        for tab in self._some(6):
            rooms = self._trial.rooms_of(tab)
            out = [room for room in rooms if room not in tab.wanted]
            if tab.wanted and self._draw.random() < 0.7:
                tab.wanted.discard(self._draw.choice(sorted(tab.wanted)))
            if out and len(tab.wanted) < self._trial.most_rooms:
                tab.wanted.add(self._draw.choice(out))
            self._trial.say(f"{tab.name} wants {self._trial.short(tab.wanted)}")

    async def _hop(self) -> None:
        """Leave and join again in one breath."""
        for tab in self._some(3):
            rooms = sorted(room for room in tab.wanted if (view := tab.rooms.get(room)) is not None and view.is_in)
            if rooms and tab.is_greeted:
                room = self._draw.choice(rooms)
                tab.hop(room)
                self._trial.say(f"{tab.name} hops {self._trial.short([room])}")

    async def _look_again(self) -> None:
        """Join a room that it is in."""
        tab = self._tab()
        rooms = sorted(room for room in tab.wanted if (view := tab.rooms.get(room)) is not None and view.is_in)
        if rooms and tab.is_greeted:
            tab.join(self._draw.choice(rooms), self._draw)

    async def _type(self) -> None:
        for tab in self._some(4):
            for room in sorted(tab.wanted)[:1]:
                tab.type(room)

    async def _burst(self) -> None:
        tenant = self._draw.choice(self._trial.tenants)
        times, size = self._draw.choice(((30, 2000), (150, 1500), (400, 300), (700, 100)))
        rooms = self._draw.sample(tenant.rooms, self._draw.choice((1, 1, 2, 3)))
        if self._draw.random() < 0.3:
            rooms.append(f"organization:{tenant.ident}")
        self._trial.load.burst(tenant, rooms, times, size)
        self._trial.say(f"burst of {times} x {size} to {self._trial.short(rooms)}")

    # -- tabs and their networks

    async def _cut_tab(self) -> None:
        for tab in self._some(3):
            if self._draw.random() < 0.5:
                tab.proxy.cut()
            else:
                tab.cut()
            self._trial.say(f"{tab.name} cut")

    async def _cut_many(self) -> None:
        tabs = self._some(len(self._trial.open_tabs))
        for tab in tabs:
            tab.proxy.cut()
        self._trial.say(f"{len(tabs)} tabs cut: {' '.join(tab.name for tab in tabs)}")

    async def _stall_tab(self) -> None:
        tab, seconds = self._tab(), self._while(0.2, 6.0)
        tab.proxy.stall()
        self._trial.say(f"{tab.name} stalls for {seconds:.1f} s")
        self._last(self._after(seconds, tab.proxy.resume, f"{tab.name} goes on"))

    async def _black_hole(self) -> None:
        tab = self._tab()
        tab.proxy.abandon()
        self._trial.say(f"{tab.name} in a black hole")

    async def _offline(self) -> None:
        tab = self._tab()
        seconds = self._while(0.2, self._draw.choice((3.0, 3.0, 2.5 * self._trial.window_s)))
        seconds = min(seconds, 30.0)
        await tab.proxy.refuse()
        self._trial.say(f"{tab.name} offline for {seconds:.1f} s")
        self._last(self._online(tab, seconds))

    async def _online(self, tab: Tab, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if not tab.is_closed and tab.proxy._listener is None:
            await tab.proxy.start()
            self._trial.say(f"{tab.name} online")

    async def _slow_tab(self) -> None:
        tab, seconds = self._tab(), self._while(2.0, 15.0)
        rate = self._draw.choice((2_000, 10_000, 40_000))
        tab.proxy.throttle(rate)
        if self._draw.random() < 0.5:
            tab.proxy.cut()
        self._trial.say(f"{tab.name} slow, {rate} bytes a second, for {seconds:.1f} s")
        self._last(self._after(seconds, lambda: tab.proxy.throttle(None), f"{tab.name} fast"))

    async def _deaf_tab(self) -> None:
        """Read nothing of what the server sends, with little room for it."""
        tab, seconds = self._tab(), self._while(1.0, 12.0)
        links = list(tab.proxy.links)
        for link in links:
            narrow(link)
            link.server.hold()
        self._trial.say(f"{tab.name} deaf for {seconds:.1f} s")

        def hear() -> None:
            for link in links:
                link.server.let_go()

        self._last(self._after(seconds, hear, f"{tab.name} hears"))

    async def _open_tab(self) -> None:
        if len(self._trial.open_tabs) < self._trial.most_tabs:
            tab = await self._trial.open_tab(self._draw.choice(self._trial.tenants))
            self._trial.say(f"{tab.name} opened by {tab.user[:4]}")

    async def _close_tab(self) -> None:
        if len(self._trial.open_tabs) > self._trial.least_tabs:
            tab = self._tab()
            tab.close()
            self._trial.say(f"{tab.name} closed")

    # -- ways between replicas and Redis

    def _bus(self) -> tuple[int, Proxy, list[Link]]:
        """Choose a replica's way to Redis, and what of it: what it hears by, what it asks by, or both."""
        at = self._draw.randrange(len(self._trial.ground.redis_proxies))
        proxy = self._trial.ground.redis_proxies[at]
        hearing = proxy.links_that_asked(b"SUBSCRIBE")
        asking = [link for link in proxy.links if link not in hearing]
        return at, proxy, self._draw.choice((hearing, hearing, asking, [*proxy.links]))

    async def _cut_bus(self) -> None:
        at, proxy, links = self._bus()
        proxy.cut(links)
        self._trial.say(f"{len(links)} ways of replica {at} to Redis cut")

    async def _stall_bus(self) -> None:
        at, proxy, links = self._bus()
        seconds = self._while(0.1, 4.0)
        proxy.stall(links)
        self._trial.say(f"{len(links)} ways of replica {at} to Redis stall for {seconds:.1f} s")
        self._last(self._after(seconds, lambda: resume(links), f"replica {at}'s ways go on"))

    async def _arrive_behind_stall(self) -> None:
        """What a replica hears is late while tabs come back, and others of their users open."""
        at, seconds = self._draw.randrange(len(self._trial.ground.redis_proxies)), self._while(0.3, 2.5)
        proxy = self._trial.ground.redis_proxies[at]
        links = proxy.links_that_asked(b"SUBSCRIBE")
        proxy.stall(links)
        tabs = self._some(5)
        for tab in tabs:
            tab.proxy.cut()
        self._trial.say(f"replica {at} hears late by {seconds:.1f} s, cut: {' '.join(t.name for t in tabs)}")
        for tab in tabs[:2]:
            if len(self._trial.open_tabs) < self._trial.most_tabs:
                opened = await self._trial.open_tab(self._trial.tenant_of(tab), tab.user, set(tab.wanted))
                self._trial.say(f"{opened.name} opened by {tab.user[:4]}")
        self._last(self._after(seconds, lambda: resume(links), f"replica {at} hears"))

    # -- replicas

    def _replica(self) -> tuple[int, Replica] | None:
        free = [(i, r) for i, r in enumerate(self._trial.ground.replicas) if r not in self._busy]
        # One is always there, or all that is left is waiting.
        return self._draw.choice(free) if len(free) == len(self._trial.ground.replicas) else None

    async def _kill_replica(self) -> None:
        chosen = self._replica()
        if chosen is not None:
            at, replica = chosen
            self._busy.add(replica)
            replica.kill()
            self._trial.say(f"replica {at} killed")
            self._last(self._start_again(at, replica))

    async def _drain_replica(self) -> None:
        chosen = self._replica()
        if chosen is not None:
            at, replica = chosen
            self._busy.add(replica)
            replica.terminate()
            self._trial.say(f"replica {at} drains")
            self._last(self._start_again(at, replica))

    async def _start_again(self, at: int, replica: Replica) -> None:
        """Start a replica once it has ended; again where Redis was away, without which none starts."""
        await until(lambda: not replica.is_running, READY_S, f"replica {at} to end")
        if self._draw.random() < 0.3:
            await asyncio.sleep(self._while(0.0, 3.0))

        async def is_ready() -> bool:
            if not replica.is_running:
                replica.begin()
            return (await asyncio.to_thread(replica.get, "/health/ready"))[0] == 200

        await until(is_ready, READY_S, f"replica {at} to be ready")
        self._busy.discard(replica)
        self._trial.say(f"replica {at} ready")

    async def _freeze_replica(self) -> None:
        await self._freeze(self._while(0.2, 4.0))

    async def _freeze_long(self) -> None:
        """Freeze one for longer than its sessions live, where that is short."""
        await self._freeze(self._while(1.0, 1.5) * min(self._trial.lease_s, 16.0))

    async def _freeze(self, seconds: float) -> None:
        chosen = self._replica()
        if chosen is None:
            return
        at, replica = chosen
        self._busy.add(replica)
        replica.pause()
        self._trial.say(f"replica {at} frozen for {seconds:.1f} s")

        def thaw() -> None:
            replica.resume()
            self._busy.discard(replica)

        self._last(self._after(seconds, thaw, f"replica {at} thaws"))

    # -- Redis

    async def _kill_redis(self) -> None:
        if not self._redis.locked():
            self._last(self._restart_redis(self._while(0.0, self._draw.choice((0.5, 3.0, 8.0)))))

    async def _restart_redis(self, seconds: float) -> None:
        async with self._redis:
            await asyncio.to_thread(self._trial.ground.redis.kill)
            self._trial.say(f"Redis killed for {seconds:.1f} s")
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self._trial.ground.redis.start)
            self._trial.say("Redis is back")

    async def _stop_redis(self) -> None:
        if not self._redis.locked():
            self._last(self._hold_redis(self._while(0.3, 7.0)))

    async def _hold_redis(self, seconds: float) -> None:
        async with self._redis:
            pid = self._trial.ground.redis.pid
            os.kill(pid, signal.SIGSTOP)
            self._trial.say(f"Redis stopped for {seconds:.1f} s")
            await asyncio.sleep(seconds)
            os.kill(pid, signal.SIGCONT)
            self._trial.say("Redis goes on")

    async def _pause_redis(self) -> None:
        """Have Redis answer nobody who writes, or nobody at all, while it publishes what it has taken."""
        what, ms = self._draw.choice(("WRITE", "ALL")), self._draw.randrange(300, 7000)
        await self._tell_redis("CLIENT", "PAUSE", ms, what)
        self._trial.say(f"Redis pauses {what} for {ms} ms")

    async def _kill_links(self) -> None:
        kind = self._draw.choice(("normal", "pubsub"))
        await self._tell_redis("CLIENT", "KILL", "TYPE", kind)
        self._trial.say(f"Redis closes {kind} connections")

    async def _tell_redis(self, *words: str | int) -> None:
        if self._redis.locked():
            return
        async with self._redis:
            url = self._trial.ground.redis.url
            client = redis.asyncio.Redis.from_url(url, socket_timeout=1.0, socket_connect_timeout=1.0)
            with contextlib.suppress(RedisError, OSError, asyncio.TimeoutError):
                await client.execute_command(*words)  # type: ignore[no-untyped-call]
            await client.aclose()


def resume(links: list[Link]) -> None:
    """Let everything through some links again."""
    for link in links:
        link.resume()


def narrow(link: Link) -> None:
    """Leave a link little room for what its server sends."""
    if link.server.transport is not None:
        raw = link.server.transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
