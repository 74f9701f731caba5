"""Sessions in Redis: whose they are, where they were, who holds them now."""

from __future__ import annotations

import gc
import json

import pytest

from gateway.core.stays import LEAVING, Stay
from gateway.redis.connection import RedisUnavailable
from publisher import Room, conversation, wire
from publisher.wire import parse_message
from tests.sessions.case import BOB, Case
from tests.support.proxy import Proxy
from tests.support.tokens import new_id
from tests.support.waiting import until

# -- opening


async def test_a_session_is_claimed_as_it_was_opened(case: Case) -> None:
    place = await case.open({BOB: None, case.room: 5})
    session = await case.claim()
    assert (session.user_id, session.sid, session.opened_at) == ("bob", "sid-1", place.seq)
    assert session.rooms == {BOB: place.seq, case.room: 5}
    assert not session.ended
    assert session.generation == 2


async def test_what_was_published_before_it_was_opened_is_at_or_below_its_place(case: Case) -> None:
    before = await case.publish()
    place = await case.open()
    after = await case.publish()
    assert before <= place.seq < after


async def test_its_place_does_not_depend_on_the_clock_alone(case: Case) -> None:
    ahead = 9_000_000_000_000_000
    await case.redis.hset(wire.meta_key(case.tenant), mapping={"epoch": "e1", "seq": ahead})
    assert await case.open() == ("e1", ahead)
    assert ahead < await case.publish() < ahead + 10


async def test_opening_tells_the_publishers_what_is_to_be_kept(case: Case) -> None:
    await case.open()
    kept = await case.redis.hmget(wire.meta_key(case.tenant), "keep", "ttl")
    assert kept == [b"50", b"600000"]


async def test_opening_again_replaces_what_was_there(case: Case) -> None:
    await case.open({BOB: None, case.room: None})
    await case.open({BOB: 7}, generation=4)
    session = await case.claim()
    assert (session.rooms, session.generation) == ({BOB: 7}, 5)


async def test_a_session_of_many_rooms_can_be_opened_and_claimed(case: Case) -> None:
    rooms: dict[Room, int | None] = {conversation(new_id()): i for i in range(1000)}
    await case.open(rooms)
    assert (await case.claim()).rooms == rooms


# -- claiming


async def test_nobody_can_claim_what_is_not_there(case: Case) -> None:
    opened = await case.sessions.claim(case.session_ref)
    assert opened.session is None
    assert opened.place.seq > 0


async def test_another_users_session_is_shown_and_not_taken(case: Case) -> None:
    await case.open()
    before = await case.redis.hgetall(case.key)
    session = await case.claim("mallory")
    assert session.user_id == "bob"
    assert (session.sid, session.rooms) == ("", {})
    assert await case.redis.hgetall(case.key) == before
    assert await case.sessions.generation(case.tenant, case.pid) == 1


async def test_another_tenants_session_is_not_there(case: Case) -> None:
    await case.open()
    assert (await case.sessions.claim(case.session_ref._replace(tenant=new_id()))).session is None


async def test_every_claim_is_a_generation_and_sends_the_older_ones_away(case: Case) -> None:
    await case.open()
    async with case.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(wire.channel(case.tenant, BOB), "end")
        generations = [(await case.claim()).generation for _ in range(3)]
        await case.redis.publish("end", "")
        told = []
        async for push in pubsub.listen():
            if push["channel"] == b"end":
                break
            message = parse_message(push["data"])
            assert message.flag == b"c"
            told.append(json.loads(message.body))
    assert generations == [2, 3, 4]
    assert told == [{"do": "close", "pid": case.pid, "before": g} for g in generations]
    assert await case.sessions.generation(case.tenant, case.pid) == 4


async def test_a_control_message_is_no_event_of_its_rooms_history(case: Case) -> None:
    await case.open()
    before = await case.publish()
    await case.claim()
    assert await case.publish() > before


# -- rooms


async def test_joining_and_leaving_are_noted(case: Case) -> None:
    await case.open({BOB: None})
    assert (await case.sessions.join(case.session_ref, case.room, 42)).known
    assert (await case.claim()).rooms[case.room] == 42
    stays = [Stay(case.room, 42, 50)]
    await case.sessions.leave(case.session_ref._replace(generation=2), case.room, stays)
    session = await case.claim()
    assert case.room not in session.rooms
    assert session.stays == (Stay(case.room, 42, 50, 50 + LEAVING),)


async def test_what_a_socket_asked_for_before_its_session_moved_on_changes_nothing(case: Case) -> None:
    other = conversation(new_id())
    await case.open({BOB: None, case.room: None})
    await case.claim()
    await case.sessions.leave(case.session_ref, case.room, [])
    assert (await case.sessions.join(case.session_ref, other, 42)).known
    rooms = (await case.claim()).rooms
    assert (case.room in rooms, other in rooms) == (True, False)


async def test_a_session_that_is_gone_says_so_and_is_not_half_made(case: Case) -> None:
    assert not (await case.sessions.join(case.session_ref, case.room, 42)).known
    await case.sessions.leave(case.session_ref, case.room, [])
    assert (await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])).generations == [0]
    await case.sessions.begin_window(case.session_ref, 0)
    await case.sessions.mark_holed([case.session_ref])
    assert not await case.redis.exists(case.key)


async def test_with_redis_away_every_question_fails_and_none_is_forgotten(
    case: Case, redis_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    await redis_proxy.refuse()
    await until(lambda: not case.commands.is_up)
    many = [(new_id(), "bob") for _ in range(20)]
    with pytest.raises(RedisUnavailable):
        await case.sessions.statuses(case.tenant, many)
    with pytest.raises(RedisUnavailable):
        await case.sessions.renew(case.tenant, [(case.session_ref._replace(pid=pid), 0) for pid, _ in many])
    with pytest.raises(RedisUnavailable):
        await case.sessions.mark_holed([case.session_ref._replace(pid=pid) for pid, _ in many])
    gc.collect()
    assert "never retrieved" not in caplog.text
