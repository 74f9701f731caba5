"""The stage of one row: a crowd in overlapping rooms on some ground, backends that publish, and the verdict."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass, field
from typing import Any

import redis.asyncio

from publisher import wire
from publisher.rooms import Room
from tests.faults.backend import Backend, Plan
from tests.faults.browsers import Page
from tests.faults.checker import Diary, Published, Verdict, judge
from tests.faults.ground import Ground
from tests.faults.watcher import Watcher, closed
from tests.support.browsers import Node
from tests.support.client import Transport
from tests.support.proxy import Proxy
from tests.support.tokens import mint, new_id
from tests.support.waiting import PATIENCE_S, until


@dataclass(frozen=True)
class Scale:
    """How much of everything; `full` for the table, otherwise for `make test`."""

    full: bool
    clients: int
    polling: int
    """Of the clients, so many poll."""
    pages: int
    rate: float

    def pick(self, full: float, short: float) -> float:
        """Choose a figure."""
        return full if self.full else short

    def times(self, full: int, short: int) -> int:
        """Choose a count."""
        return full if self.full else short


FULL = Scale(full=True, clients=54, polling=6, pages=2, rate=240.0)
SHORT = Scale(full=False, clients=14, polling=2, pages=0, rate=120.0)


@dataclass
class Cast:
    """Who is there: a tenant with users and rooms, and another tenant with rooms of the same names."""

    tenant: str = field(default_factory=new_id)
    foreign: str = field(default_factory=new_id)
    users: tuple[str, ...] = ()
    conversations: tuple[str, ...] = ()
    campaigns: tuple[str, ...] = ()


class Stage:
    """One row's stage. `random` is the row's only source of chance, so that a seed replays it."""

    def __init__(self, ground: Ground, scale: Scale, seed: int) -> None:
        self.ground = ground
        self.redis_url_of_backends = ground.redis_url
        self.scale = scale
        self.random = random.Random(seed)
        self.cast = Cast(
            users=tuple(new_id() for _ in range(max(2, scale.clients // 2))),
            conversations=tuple(new_id() for _ in range(max(6, scale.clients // 4))),
            campaigns=tuple(new_id() for _ in range(3)),
        )
        self.watchers: list[Watcher] = []
        self.pages: list[Page] = []
        self.backends: list[Backend] = []
        self.proxies: list[Proxy] = []
        """Proxies of the row's own, to be stopped when the backends have ended."""
        self.chores: list[asyncio.Task[None]] = []
        """What goes on beside the row; it is to be over before the curtain."""
        self.notes: list[str] = []
        self.verdict = Verdict()
        self._node: Node | None = None

    # -- the cast

    async def open(self, *, rate: float | None = None, stay: bool = True, clients: int | None = None) -> None:
        """Begin to publish, and let the crowd come in meanwhile."""
        await self._start_backends()
        await self.publish(rate)
        for i in range(self.scale.clients if clients is None else clients):
            transport: Transport = "polling" if i < self.scale.polling else "websocket"
            url = self.ground.urls[i % len(self.ground.urls)]
            self.add(url, user=self.cast.users[i % len(self.cast.users)], transport=transport)
        self.add(self.ground.urls[0], user=self.cast.users[0], tenant=self.cast.foreign)
        await asyncio.gather(*map(self._settle_in, self.watchers))
        if stay:
            for watcher in self.watchers:
                self.let_stay(watcher)
        await self._open_pages()

    async def open_behind_proxy(self) -> Proxy:
        """Do as `open` does, with a proxy between the backends and Redis."""
        self.proxies.append(await Proxy(self.ground.redis.port).start())
        self.redis_url_of_backends = self.proxies[0].url
        await self.open()
        return self.proxies[0]

    def add(
        self, url: str, *, user: str | None = None, tenant: str | None = None, transport: Transport = "websocket"
    ) -> Watcher:
        """Make a client, which is not connected yet."""
        user, tenant = user or new_id(), tenant or self.cast.tenant
        token = mint(user, tenant)
        name = f"client-{len(self.watchers)}"
        watcher = Watcher(name, url, token, tenant, user, transport=transport)
        self.watchers.append(watcher)
        return watcher

    def twin_of(self, watcher: Watcher) -> Watcher:
        """Make another client with the memory of one: the same pid, offset and diary up to now."""
        twin = self.add(watcher.url, user=watcher.user, tenant=watcher.tenant)
        twin.sid, twin.pid, twin.offset = watcher.sid, watcher.pid, watcher.offset
        twin.diary.entries.extend(watcher.diary.entries)
        twin.wanted, twin._joined = set(watcher.wanted), set(watcher._joined)
        return twin

    def let_stay(self, watcher: Watcher) -> None:
        """Have it come back by itself whenever its connection ends, to any replica."""
        at = self.ground.urls.index(watcher.url)
        watcher.stay(*self.ground.urls[at + 1 :], *self.ground.urls[: at + 1])

    async def _settle_in(self, watcher: Watcher) -> None:
        await watcher.connect()
        rooms = [f"conversation:{talk}" for talk in self.random.sample(self.cast.conversations, 3)]
        await watcher.enter([*rooms, f"campaign:{self.random.choice(self.cast.campaigns)}"])

    async def _open_pages(self) -> None:
        assert self.ground.front is not None
        for i in range(self.scale.pages):
            await self.open_page(f"page-{i}", self.ground.front.http_url, self.cast.users[i])

    async def open_page(self, name: str, url: str, user: str, **options: Any) -> None:
        """Open a real page, and have it in a conversation; `options` are `Node.open`'s."""
        if self._node is None:
            self._node = await asyncio.to_thread(Node)
        tenant = self.cast.tenant
        page = Page(self._node, name, url, mint(user, tenant), tenant, user, **options)
        self.pages.append(page)
        await page.enter(self.random.choice(self.cast.conversations))

    async def _start_backends(self) -> None:
        cast = self.cast
        tenants = (cast.tenant, cast.tenant, cast.tenant, cast.foreign)
        for i in range(2):
            plan = Plan(
                *(f"backend{i}", tenants, cast.users, cast.conversations, cast.campaigns),
                rate=self.scale.rate / 2,
                seed=self.random.randrange(1 << 30),
            )
            self.backends.append(Backend(self.redis_url_of_backends, plan))
        await asyncio.gather(*(backend.start() for backend in self.backends))

    # -- what they do

    @property
    def natives(self) -> list[Watcher]:
        """Return the clients of the tenant that most is published for."""
        return [watcher for watcher in self.watchers if watcher.tenant == self.cast.tenant]

    @staticmethod
    def now() -> float:
        """Return the time by the clock of all records."""
        return time.monotonic()

    async def publish(self, rate: float | None = None) -> None:
        """Publish at this rate over all backends, the scale's by default."""
        each = None if rate is None else rate / len(self.backends)
        await asyncio.gather(*(backend.run(each) for backend in self.backends))

    @property
    def acknowledged(self) -> int:
        """How many events were acknowledged so far."""
        return sum(len(backend.published) for backend in self.backends)

    async def published(self, more: int, within_s: float = PATIENCE_S) -> None:
        """Wait until so many more events have been acknowledged."""
        goal = self.acknowledged + more
        await until(lambda: self.acknowledged >= goal, within_s, f"{goal} events to be acknowledged")

    def everyone(self) -> list[Watcher | Page]:
        """Return all clients that mean to stay."""
        return [*(watcher for watcher in self.watchers if not watcher.diary.ended), *self.pages]

    async def all_connected(self, within_s: float = PATIENCE_S) -> None:
        """Wait until everyone is connected and in the rooms that it wants."""
        await until(
            lambda: (
                all(watcher.is_settled for watcher in self.watchers if not watcher.diary.ended)
                and all(page.is_connected for page in self.pages)
            ),
            within_s,
            "everyone to be connected",
        )

    async def silence(self) -> None:
        """Stop publishing, and wait until everyone has everything."""
        await self.publish(0)
        await self._all_arrived()

    async def flush_redis(self) -> None:
        """Have Redis forget everything, without ending a connection."""
        async with redis.asyncio.Redis.from_url(self.ground.redis.url) as client:
            await client.flushall()

    async def each(self, work: Iterable[Awaitable[object]]) -> None:
        """Do things at the same time."""
        await asyncio.gather(*work)

    async def curtain(self) -> None:
        """Stop publishing, wait until all that was published has arrived, and judge.

        The last event goes to everyone and comes behind all others: who has it has what it will ever get.
        """
        await asyncio.gather(*(backend.run(0) for backend in self.backends))
        await asyncio.gather(*(backend.flushed() for backend in self.backends))
        await self.all_connected()
        for _ in range(2):
            await self._all_arrived()
        await self._look_up_queued()
        self.verdict = judge(self._published(), [client.diary for client in self.clients()])

    async def _look_up_queued(self) -> None:
        """Find where the events stand that were acknowledged as queued: their receipts could not say."""
        queued = {event.ident: event for event in self._published() if event.offset is None}
        if not queued:
            return
        for tenant in (self.cast.tenant, self.cast.foreign):
            async with self.ground.client_of(tenant) as client:
                epoch = (await client.hget(wire.meta_key(tenant), "epoch") or b"").decode()
                async for log in client.scan_iter(wire.log_key(tenant, Room("*")), count=1000):
                    for ident, fields in await client.xrange(log):
                        event = queued.get(json.loads(fields[wire.LogField.BODY])[1].get("n"))
                        if event is not None:
                            event.offset = f"{epoch}-{ident.partition(b'-')[0].decode()}"

    async def _all_arrived(self) -> None:
        """Publish an event to everyone, and wait until it has arrived: it comes behind all others."""
        for tenant in (self.cast.tenant, self.cast.foreign):
            last = await self.backends[0].emit(tenant, f"organization:{tenant}")
            waiting = [client for client in self.everyone() if client.tenant == tenant]
            deadline = time.monotonic() + PATIENCE_S
            while waiting and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                waiting = [client for client in waiting if not _has(client.diary, last.ident)]

    def clients(self) -> list[Watcher | Page]:
        """Return all clients, the ones that ended, too."""
        return [*self.watchers, *self.pages]

    def _published(self) -> list[Published]:
        return [event for backend in self.backends for event in backend.published.values()]

    async def close(self) -> list[str]:
        """End the backends and the crowd; return what is wrong with their ends."""
        endings = await asyncio.gather(*(backend.end() for backend in self.backends), return_exceptions=True)
        for proxy in self.proxies:
            await proxy.stop()
        if self._node is not None:
            await asyncio.to_thread(self._node.close)
        await closed(self.watchers)
        troubles = [repr(ending) for ending in endings if isinstance(ending, BaseException)]
        for backend in self.backends:
            troubles += backend.refused[:5]
            if backend.ending.unsent or backend.ending.counters.get("dropped"):
                troubles.append(f"{backend.plan.name} ended with {backend.ending}")
        return troubles


def _has(diary: Diary, ident: str) -> bool:
    return any(getattr(entry, "ident", None) == ident for entry in diary.entries[-200:])
