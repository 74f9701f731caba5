"""The resyncs of many tenants: how many at a time, in which order, what one that fails takes from the others.

`test_heard_until.py` has up to when a replica has heard everything.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.core.history import Entry
from gateway.core.limits import Limits
from gateway.redis.connection import RedisUnavailable, ReplyError
from gateway.rooms.resync import AT_ONCE, ENTRY_BYTES
from publisher.wire import parse_message
from tests.rooms.ground import EPOCH, Ground
from tests.support.waiting import until

BROKEN = ReplyError("WRONGTYPE Operation against a key holding the wrong kind of value")


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
