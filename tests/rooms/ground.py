"""The resyncs of a replica whose Redis is a stand-in.

It answers when the test says so: each answer is one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from gateway.core.history import Entry, Log, Retention
from gateway.core.hub import Hub
from gateway.core.limits import Limits
from gateway.core.model import RoomState, Tenant
from gateway.rooms.logs import Snapshot
from gateway.rooms.resync import Resync
from publisher import Room
from tests.core.parts import Troubles

ROOM = Room("organization:all")
EPOCH = "e1"


class Redis:
    """What a resync asks: the logs, the connection that hears, and the one that asks."""

    publishing = "PUBLISH"

    retention = Retention(500, 3600.0)

    def __init__(self) -> None:
        self.server = "the master"
        """Where we hear; what asks is somewhere else where the test says so."""
        self.asks: Any = self
        self.heard_until = 1
        self.asked: list[str] = []
        """Tenants whose logs were asked for, in order."""
        self.most = 0
        """AnswerTurns that waited for their answer at a time, at the most."""
        self.round_trips = 0
        self.drops = 0
        self.events: dict[str, int] = {}
        self.entries: tuple[Entry, ...] = ()
        """What every log holds, in place of so many `events`."""
        self.broken: dict[str, Exception] = {}
        self._waiting: list[asyncio.Future[None]] = []
        self._loop = asyncio.get_running_loop()

    # -- as History

    async def read(self, tenant: str, after: Mapping[Room, int], **_: object) -> Snapshot:
        self.asked.append(tenant)
        await self._answer()
        if tenant in self.broken:
            raise self.broken[tenant]
        seqs = range(2, 2 + self.events.get(tenant, 0))
        entries = self.entries or tuple(Entry(seq, seq - 1, b'["e",%d]' % seq) for seq in seqs)
        log = Log(1, entries, 1000, complete=True, tail=1000, horizon=1000)
        logs = {room: log._replace(after=seq) for room, seq in after.items()}
        return Snapshot(EPOCH, 1000, logs)

    async def _answer(self) -> None:
        answer = self._loop.create_future()
        self._waiting.append(answer)
        self.most = max(self.most, len(self._waiting))
        await answer

    # -- as Subscriber and Commands

    @property
    def commands(self) -> Any:
        return self.asks

    def of(self, tenant: str) -> Redis:
        return self

    async def wait_up(self, timeout_s: float) -> None:
        """It is."""

    async def fence(self) -> None:
        await self._answer()

    def drop(self) -> None:
        self.drops += 1

    def ask(self, *words: object) -> asyncio.Future[Any]:
        asked: asyncio.Future[Any] = self._loop.create_future()
        asked.set_result(0)
        return asked

    # -- what the test does

    async def answer(self) -> None:
        """Answer all that is asked: one round trip."""
        waiting, self._waiting = self._waiting, []
        self.round_trips += bool(waiting)
        for each in waiting:
            if not each.done():
                each.set_result(None)
        for _ in range(5):
            await asyncio.sleep(0)

    async def answer_until(self, task: asyncio.Future[Any]) -> None:
        for _ in range(100_000):
            if task.done():
                return
            await self.answer()
        raise AssertionError("it never ends")


class Ground:
    """A replica's resyncs, with tenants of one room each."""

    def __init__(self, limits: Limits) -> None:
        self.redis = Redis()
        self.hub = Hub(Troubles(), limits=limits)
        redis: Any = self.redis
        self.resync = Resync(self.hub, redis, redis, redis.of)

    def tenants(self, count: int) -> list[Tenant]:
        found = [self.hub.tenant(f"t{i}") for i in range(count)]
        for tenant in found:
            tenant.epoch = EPOCH
            self.room(tenant).last_seq = 1
        return found

    def room(self, tenant: Tenant) -> RoomState:
        return self.hub.room(tenant, ROOM)

    def break_and_mend(self) -> asyncio.Task[None]:
        """Lose the connection, and have it back."""
        ear: Any = self.redis
        self.resync.lost(ear)
        return asyncio.create_task(self.resync.back(ear))
