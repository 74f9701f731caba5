"""The resyncs of many tenants: how many at a time, in which order, and what one that fails takes from the others.

Redis is a stand-in that answers when the test says so: each answer is one round trip.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from gateway.core.history import Entry, Log, Retention
from gateway.core.hub import Hub
from gateway.core.limits import LIMITS, Limits
from gateway.core.model import RoomState, Tenant
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.logs import Snapshot
from gateway.rooms.resync import AT_ONCE, ENTRY_BYTES, Resync
from publisher import Room
from publisher.wire import parse_message
from tests.core.parts import Troubles
from tests.support.waiting import until

ROOM = Room("organization:all")
EPOCH = "e1"
BROKEN = ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


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
        """Questions that waited for their answer at a time, at the most."""
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


@pytest.fixture
def limits() -> Limits:
    return LIMITS


@pytest_asyncio.fixture
async def ground(limits: Limits) -> AsyncIterator[Ground]:
    asyncio.get_running_loop().set_debug(False)  # thousands of tasks
    ground = Ground(limits)
    yield ground
    await ground.resync.stop()


async def test_thousands_of_tenants_are_resynced_many_at_a_time(ground: Ground) -> None:
    tenants = ground.tenants(3500)
    back = ground.break_and_mend()
    await ground.redis.answer_until(back)
    await back
    assert all(tenant.backlog is None for tenant in tenants)
    assert sorted(ground.redis.asked) == sorted(tenant.id for tenant in tenants)
    assert AT_ONCE / 2 <= ground.redis.most <= AT_ONCE
    # Two each: the logs, and the fence.
    assert ground.redis.round_trips <= 2.5 * len(tenants) / AT_ONCE


async def test_tenants_that_somebody_waits_for_come_first(ground: Ground) -> None:
    tenants = ground.tenants(1000)
    ear: Any = ground.redis
    ground.resync.lost(ear)
    waited_for = [tenants[900], tenants[950]]
    waiting = [asyncio.create_task(ground.resync.settled(tenant)) for tenant in waited_for]
    await asyncio.sleep(0)
    back = asyncio.create_task(ground.resync.back(ear))
    await until(lambda: len(ground.redis.asked) > 0)
    # One more comes when the first are under way.
    late = asyncio.create_task(ground.resync.settled(tenants[999]))
    await ground.redis.answer_until(asyncio.gather(late, *waiting))
    assert ground.redis.asked[:2] == [tenant.id for tenant in waited_for]
    assert tenants[999].id in ground.redis.asked[: 2 * AT_ONCE + 1]
    assert len(ground.redis.asked) <= 3 * AT_ONCE, "others came before it"
    await ground.redis.answer_until(back)


async def test_a_tenant_that_nobody_waits_for_any_more_comes_in_its_turn(ground: Ground) -> None:
    tenants = ground.tenants(200)
    ear: Any = ground.redis
    ground.resync.lost(ear)
    for _ in range(100):
        waiting = asyncio.create_task(ground.resync.settled(tenants[150]))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert not ground.resync._unsettled, "those who gave up are remembered"
    back = asyncio.create_task(ground.resync.back(ear))
    await ground.redis.answer_until(back)
    assert ground.redis.asked == [tenant.id for tenant in tenants]


@pytest.mark.parametrize("limits", [Limits(resync_bytes=10 * ENTRY_BYTES)])
async def test_tenants_that_miss_much_are_read_few_at_a_time(ground: Ground) -> None:
    tenants = ground.tenants(200)
    for tenant in tenants[20:]:
        ground.redis.events[tenant.id] = 4
    back = ground.break_and_mend()
    while len(ground.redis.asked) < 100:
        await ground.redis.answer()
    ground.redis.most = 0
    await ground.redis.answer_until(back)
    assert ground.redis.most == 2
    assert all(ground.room(tenant).last_seq == 5 for tenant in tenants[20:])


async def test_one_that_cannot_be_read_holds_up_no_other(ground: Ground) -> None:
    tenants = ground.tenants(100)
    ground.redis.broken = {tenant.id: BROKEN for tenant in tenants[:AT_ONCE]}
    back = ground.break_and_mend()
    await ground.redis.answer_until(back)
    await back
    unsettled = {tenant.id for tenant in tenants if tenant.backlog is not None}
    assert unsettled == ground.redis.broken.keys()
    assert len(ground.resync.unreadable) == AT_ONCE


async def test_a_second_break_halfway_ends_it_and_the_next_return_begins_anew(ground: Ground) -> None:
    tenants = ground.tenants(500)
    back = ground.break_and_mend()
    for _ in range(4):
        await ground.redis.answer()
    assert any(tenant.backlog is None for tenant in tenants)
    again = ground.break_and_mend()
    assert all(tenant.backlog is not None for tenant in tenants)
    await ground.redis.answer_until(again)
    await again
    (error,) = await asyncio.gather(back, return_exceptions=True)
    assert error is None or isinstance(error, RedisUnavailable)
    assert all(tenant.backlog is None for tenant in tenants)
    assert not ground.resync._under_way


async def test_a_break_in_the_middle_of_one_counts(ground: Ground) -> None:
    (tenant,) = ground.tenants(1)
    first = ground.break_and_mend()
    await until(lambda: bool(ground.redis.asked))
    assert tenant.breaks == 1
    again = ground.break_and_mend()
    assert tenant.breaks == 2, "a place that was asked for meanwhile would count"
    await ground.redis.answer_until(asyncio.gather(first, again, return_exceptions=True))


# -- another master


class OtherServer:
    """What asks, at another server than we hear."""

    server = "the old master"

    def __init__(self) -> None:
        self.drops = 0

    async def wait_up(self, timeout_s: float) -> None:
        """It is."""

    def drop(self) -> None:
        self.drops += 1


async def test_what_another_server_than_we_hear_has_is_not_believed(ground: Ground) -> None:
    (tenant,) = ground.tenants(1)
    ground.redis.asks = asks = OtherServer()
    back = ground.break_and_mend()
    await ground.redis.answer_until(back)
    with pytest.raises(RedisUnavailable):
        await back
    assert tenant.backlog is not None
    assert (asks.drops, ground.redis.drops) == (1, 1), "both have to look for the master anew"
    ground.redis.asks = ground.redis
    back = ground.break_and_mend()
    await ground.redis.answer_until(back)
    await back
    assert tenant.backlog is None


async def test_who_moves_to_another_server_between_question_and_answer_asks_again(ground: Ground) -> None:
    (tenant,) = ground.tenants(1)
    ground.redis.asks = asks = OtherServer()
    back = ground.break_and_mend()
    await until(lambda: bool(ground.redis.asked))
    asks.server = ground.redis.server
    await ground.redis.answer_until(back)
    with pytest.raises(RedisUnavailable):
        await back
    assert tenant.backlog is not None


async def test_what_the_log_has_is_handed_out_whatever_it_follows(ground: Ground) -> None:
    (tenant,) = ground.tenants(1)
    room = ground.room(tenant)
    room.last_seq = room.newest = 50
    ground.redis.entries = (Entry(60, 40, b'["e",1]'),)
    back = ground.break_and_mend()
    tenant.backlog = [(room, parse_message(f'{EPOCH}-{seq} {seq - 30} r -\n["e",2]'.encode())) for seq in (60, 61)]
    await ground.redis.answer_until(back)
    assert room.newest == 60, "the log's own was taken for the old master's, or the old master's for its own"


async def test_redis_away_for_all_ends_it_at_once(ground: Ground) -> None:
    tenants = ground.tenants(500)
    ground.redis.broken = {tenant.id: RedisUnavailable("away") for tenant in tenants}
    back = ground.break_and_mend()
    ear: Any = ground.redis
    while not ground.redis.drops:
        await ground.redis.answer()
    ground.resync.lost(ear)
    (error,) = await asyncio.gather(back, return_exceptions=True)
    assert isinstance(error, RedisUnavailable)
    assert len(ground.redis.asked) <= 2 * AT_ONCE


# -- up to when everything was heard


class Recipients:
    """Takes note of since when each recheck asks, and waits with it where the test says so."""

    def __init__(self, may_go_on: asyncio.Event) -> None:
        self.since: list[int | None] = []
        self.rechecks = 0
        self._may_go_on = may_go_on

    async def recheck(self, tenant: Tenant) -> None:
        self.rechecks += 1
        await self._may_go_on.wait()
        self.since.append(tenant.heard_until)


class Hearing:
    """One tenant, of which everything had been heard up to 100 when the connection broke."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        (self.tenant,) = ground.tenants(1)
        self.may_go_on = asyncio.Event()
        self.recipients = Recipients(self.may_go_on)
        recipients: Any = self.recipients
        ground.resync.recipients = recipients
        ground.redis.heard_until = 100

    def break_and_mend(self) -> asyncio.Task[None]:
        """Break; on the new connection a probe comes back before anything is made good."""
        back = self.ground.break_and_mend()
        self.ground.redis.heard_until += 100
        return back

    async def answer_until_recheck(self, count: int) -> None:
        while self.recipients.rechecks < count:
            await self.ground.redis.answer()

    async def end(self, back: asyncio.Future[None]) -> None:
        self.may_go_on.set()
        await self.ground.redis.answer_until(back)
        await until(lambda: not self.ground.resync._under_way)


@pytest_asyncio.fixture
async def hearing(ground: Ground) -> Hearing:
    return Hearing(ground)


async def test_a_resync_that_is_asked_for_in_the_middle_of_one_hides_nothing(hearing: Hearing) -> None:
    back = hearing.break_and_mend()
    await until(lambda: bool(hearing.ground.redis.asked))
    hearing.ground.resync.start(hearing.tenant)
    await hearing.end(back)
    assert hearing.recipients.since == [100]


async def test_a_gap_while_a_break_is_looked_back_at_hides_nothing(hearing: Hearing) -> None:
    back = hearing.break_and_mend()
    await hearing.answer_until_recheck(1)
    hearing.ground.resync.start(hearing.tenant)
    await hearing.end(back)
    assert hearing.recipients.since == [100, 100]


async def test_a_break_while_another_is_looked_back_at_hides_nothing(hearing: Hearing) -> None:
    first = hearing.break_and_mend()
    await hearing.answer_until_recheck(1)
    again = hearing.break_and_mend()
    await asyncio.gather(first, return_exceptions=True)
    await hearing.end(again)
    assert hearing.recipients.since == [100]


async def test_what_was_looked_back_at_is_not_looked_back_at_again(hearing: Hearing) -> None:
    await hearing.end(hearing.break_and_mend())
    await hearing.end(hearing.break_and_mend())
    assert hearing.recipients.since == [100, 200]
