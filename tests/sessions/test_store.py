"""Sessions in Redis: whose they are, where they were, who holds them now."""

from __future__ import annotations

import gc
import json
from typing import Any

import pytest

from gateway.core.history import Retention
from gateway.core.model import Identity, Stay
from gateway.redis.commands import Commands
from gateway.redis.connection import RedisUnavailable
from gateway.sessions.store import LEAVING, SessionRef, Sessions, session_key
from publisher import Options, Room, conversation, wire
from publisher.envelope import build_control, build_event
from publisher.offsets import SEQ_PER_S
from publisher.rooms import user
from publisher.wire import parse_message
from tests.support.proxy import Proxy
from tests.support.tokens import new_id
from tests.support.waiting import until

Client = Any  # redis.asyncio.Redis, whose commands are not typed

KEPT = Retention(50, 600.0)
BOB = user("bob")


class Case:
    """One session of bob's."""

    def __init__(self, commands: Commands, *, unnoticed_s: float = 1.0, most: int = 0) -> None:
        self.commands = commands
        self.sessions = Sessions(
            commands,
            window_s=60.0,
            renew_every_s=30.0,
            unnoticed_s=unnoticed_s,
            kept=KEPT,
            most_sockets=most,
        )
        self.tenant, self.pid = new_id(), new_id()
        self.room = conversation(new_id())

    @property
    def key(self) -> str:
        return session_key(self.tenant, self.pid)

    @property
    def session_ref(self) -> SessionRef:
        return SessionRef(self.tenant, "bob", self.pid, "sid-1")

    async def open(self, rooms: dict[Room, int | None] | None = None, generation: int = 1) -> Any:
        chosen = {BOB: None, self.room: None} if rooms is None else rooms
        return (await self.sessions.open(self.session_ref._replace(generation=generation), chosen)).place

    async def claim(self, user_id: str = "bob") -> Any:
        return (await self.sessions.claim(self.session_ref._replace(user_id=user_id))).session

    async def publish(self) -> int:
        envelope = build_event(self.tenant, "e", 1, self.room, Options())
        _, offset = await self.commands.publish(envelope)
        assert offset is not None
        return int(offset.partition("-")[2])

    async def control(self, revoke: str, value: str = "") -> None:
        envelope = build_control(self.tenant, "bob", {"do": "x"}, Options(), revoke=revoke, value=value)
        await self.commands.publish(envelope)


def sockets(case: Case) -> str:
    return f"{wire.prefix(case.tenant)}sockets:bob"


@pytest.fixture
def case(commands: Commands) -> Case:
    return Case(commands)


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


async def test_its_place_does_not_depend_on_the_clock_alone(case: Case, redis_client: Client) -> None:
    ahead = 9_000_000_000_000_000
    await redis_client.hset(wire.meta_key(case.tenant), mapping={"epoch": "e1", "seq": ahead})
    assert await case.open() == ("e1", ahead)
    assert ahead < await case.publish() < ahead + 10


async def test_opening_tells_the_publishers_what_is_to_be_kept(case: Case, redis_client: Client) -> None:
    await case.open()
    kept = await redis_client.hmget(wire.meta_key(case.tenant), "keep", "ttl")
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


async def test_another_users_session_is_shown_and_not_taken(case: Case, redis_client: Client) -> None:
    await case.open()
    before = await redis_client.hgetall(case.key)
    session = await case.claim("mallory")
    assert session.user_id == "bob"
    assert (session.sid, session.rooms) == ("", {})
    assert await redis_client.hgetall(case.key) == before
    assert await case.sessions.generation(case.tenant, case.pid) == 1


async def test_another_tenants_session_is_not_there(case: Case) -> None:
    await case.open()
    assert (await case.sessions.claim(case.session_ref._replace(tenant=new_id()))).session is None


async def test_every_claim_is_a_generation_and_sends_the_older_ones_away(case: Case, redis_client: Client) -> None:
    await case.open()
    async with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(wire.channel(case.tenant, BOB), "end")
        generations = [(await case.claim()).generation for _ in range(3)]
        await redis_client.publish("end", "")
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


async def test_a_session_that_is_gone_says_so_and_is_not_half_made(case: Case, redis_client: Client) -> None:
    assert not (await case.sessions.join(case.session_ref, case.room, 42)).known
    await case.sessions.leave(case.session_ref, case.room, [])
    assert (await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])).generations == [0]
    await case.sessions.begin_window(case.session_ref, 0)
    await case.sessions.mark_holed([case.session_ref])
    assert not await redis_client.exists(case.key)


# -- what was taken away


async def test_a_room_that_was_taken_away_is_not_given_back(case: Case) -> None:
    await case.open()
    await case.control(case.room)
    assert set((await case.claim()).rooms) == {BOB}


async def test_a_room_that_was_joined_again_after_it_was_taken_away_is(case: Case) -> None:
    await case.open()
    await case.control(case.room)
    later = await case.publish()
    await case.sessions.join(case.session_ref, case.room, later)
    assert (await case.claim()).rooms[case.room] == later


async def test_a_user_who_was_disconnected_for_good_has_an_ended_session(case: Case) -> None:
    await case.open()
    await case.control("*")
    assert (await case.claim()).ended


async def test_a_session_that_was_opened_after_that_has_not_ended(case: Case) -> None:
    await case.control("*")
    await case.open()
    assert not (await case.claim()).ended


async def test_the_standing_of_many_sessions_is_looked_up_at_once(case: Case) -> None:
    await case.open()
    await case.claim()
    await case.control(case.room)
    mine, gone = await case.sessions.statuses(case.tenant, [(case.pid, "bob"), (new_id(), "carol")])
    assert (mine.generation, mine.ended, [room for room, _ in mine.taken]) == (2, False, [case.room])
    assert (gone.generation, gone.ended, gone.taken) == (0, False, [])
    await case.control("*")
    (mine,) = await case.sessions.statuses(case.tenant, [(case.pid, "bob")])
    assert mine.ended


async def test_with_redis_away_every_question_fails_and_none_is_forgotten(
    case: Case, redis_proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    await redis_proxy.refuse()
    await until(lambda: not case.commands.is_up)
    many = [(new_id(), "bob") for _ in range(20)]
    with pytest.raises(RedisUnavailable):
        await case.sessions.statuses(case.tenant, many)
    with pytest.raises(RedisUnavailable):
        await case.sessions.renew(
            case.session_ref.tenant, [(case.session_ref._replace(pid=pid), 0) for pid, _ in many]
        )
    with pytest.raises(RedisUnavailable):
        await case.sessions.mark_holed([case.session_ref._replace(pid=pid) for pid, _ in many])
    gc.collect()
    assert "never retrieved" not in caplog.text


# -- time


async def test_a_session_lives_for_its_lease_and_for_the_window_once_its_socket_is_gone(
    case: Case, redis_client: Client
) -> None:
    await case.open()
    assert 119_000 < await redis_client.pttl(case.key) <= 120_000
    await case.sessions.begin_window(case.session_ref, 0)
    assert 59_000 < await redis_client.pttl(case.key) <= 60_000
    assert (await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])).generations == [1]
    assert 119_000 < await redis_client.pttl(case.key) <= 120_000
    await case.sessions.begin_window(case.session_ref, 0)
    await case.claim()
    assert 119_000 < await redis_client.pttl(case.key) <= 120_000


async def test_a_session_that_must_not_be_recovered_is_dropped(case: Case) -> None:
    await case.open()
    await case.sessions.end(case.session_ref)
    assert await case.claim() is None


async def test_a_live_socket_surely_had_what_is_older_than_its_heartbeats(
    case: Case, redis_client: Client
) -> None:
    place = await case.open()
    await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])
    seconds, micros = await redis_client.time()
    seen = (await case.claim()).seen_until
    assert place.seq - SEQ_PER_S <= seen <= seconds * SEQ_PER_S + micros - SEQ_PER_S


async def test_a_socket_whose_session_moved_on_does_not_renew_it(case: Case, redis_client: Client) -> None:
    await case.open()
    await case.claim()
    await redis_client.pexpire(case.key, 10_000)
    renewed = await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])
    assert renewed.generations == [2]
    assert await redis_client.pttl(case.key) <= 10_000
    assert (await case.claim()).seen_until == 0


async def test_a_socket_that_just_came_back_surely_had_nothing(commands: Commands) -> None:
    case = Case(commands, unnoticed_s=0.0)
    await case.open()
    arrived = await case.publish()
    far_ahead = arrived + 3600 * SEQ_PER_S
    await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, far_ahead)])
    await case.sessions.begin_window(case.session_ref, far_ahead)
    assert (await case.claim()).seen_until == 0


async def test_a_session_with_a_hole_says_so_to_whoever_claims_it(case: Case) -> None:
    await case.open()
    assert not (await case.claim()).holed
    await case.sessions.mark_holed([case.session_ref])
    assert (await case.claim()).holed
    await case.open()
    assert not (await case.claim()).holed


async def test_who_has_a_session_that_is_found_to_have_a_hole_later_is_sent_back_for_it(
    case: Case, redis_client: Client
) -> None:
    await case.open()
    async with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(wire.channel(case.tenant, BOB))
        assert not (await case.claim()).holed
        await case.sessions.mark_holed([case.session_ref])
        pushes = [parse_message((await anext(pubsub.listen()))["data"]) for _ in range(2)]
    closes = [json.loads(push.body) for push in pushes]
    assert closes == [{"do": "close", "pid": case.pid, "before": generation} for generation in (2, 3)]
    assert (await case.claim()).holed


async def test_a_socket_that_went_after_another_had_its_session_leaves_that_alone(
    case: Case, redis_client: Client
) -> None:
    await case.open()
    await case.claim()
    await case.sessions.end(case.session_ref)
    await case.sessions.begin_window(case.session_ref, 0)
    assert 119_000 < await redis_client.pttl(case.key) <= 120_000
    assert await redis_client.zscore(sockets(case), case.pid) > 0


async def test_what_was_lost_is_kept_for_a_socket_that_may_not_have_heard_it(case: Case) -> None:
    await case.sessions.open(case.session_ref, {BOB: None}, lost="expired")
    assert (await case.claim()).lost == "expired"
    await case.open()
    assert (await case.claim()).lost == ""


# -- tokens that are void


def bearer(issued_at: float = 0.0, token_id: str = "") -> Identity:
    return Identity("bob", "", "agent", 0.0, issued_at, token_id)


async def test_a_token_that_was_revoked_is_blocked_and_others_are_not(case: Case) -> None:
    await case.control("token/a:1")
    revoked = await case.sessions.revoked(case.tenant, "bob")
    assert revoked.blocks(bearer(token_id="a:1"))
    assert not revoked.blocks(bearer(token_id="a"))
    assert not revoked.blocks(bearer())
    assert list(revoked.rooms()) == []


async def test_tokens_of_before_a_moment_are_blocked_and_the_latest_moment_counts(case: Case) -> None:
    for moment in ("2000.5", "1000.0"):
        await case.control("before", moment)
    revoked = (await case.sessions.open(case.session_ref, {BOB: None})).revoked
    assert revoked.blocks(bearer(2000.4))
    assert not revoked.blocks(bearer(2000.5))
    assert revoked.blocks(bearer()), "a token that does not say when it was issued is old"


# -- how many sockets a user has


async def test_of_too_many_sockets_the_oldest_goes(commands: Commands, redis_client: Client) -> None:
    case = Case(commands, most=2)
    pids = [new_id() for _ in range(3)]
    async with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(wire.channel(case.tenant, BOB))
        for pid in pids:
            await case.sessions.open(case.session_ref._replace(pid=pid), {BOB: None})
        async for push in pubsub.listen():
            assert json.loads(parse_message(push["data"]).body) == {"do": "evict", "pid": pids[0]}
            break
    assert (await case.sessions.claim(case.session_ref._replace(pid=pids[0]))).session is None
    assert await redis_client.zcard(sockets(case)) == 2


async def test_a_socket_that_never_heard_that_it_has_to_go_is_told_again_and_pushes_nobody_out(
    commands: Commands, redis_client: Client
) -> None:
    case = Case(commands, most=1)
    deaf, other = case.session_ref, case.session_ref._replace(pid=new_id())
    await case.open()
    async with redis_client.pubsub(ignore_subscribe_messages=True) as pubsub:
        await case.sessions.open(other, {BOB: None})
        await pubsub.subscribe(wire.channel(case.tenant, BOB))
        # Its replica renews what it has, finds its lease gone, and writes the session again.
        await case.sessions.renew(case.tenant, [(deaf, 0)])
        assert not (await case.sessions.join(deaf, case.room, 1)).known
        await case.sessions.open(deaf, {BOB: 1, case.room: 1})
        push = await anext(pubsub.listen())
        assert json.loads(parse_message(push["data"]).body) == {"do": "evict", "pid": deaf.pid}
        await case.sessions.end(deaf)
    assert await redis_client.zrange(sockets(case), 0, -1) == [other.pid.encode()]
    assert not await redis_client.exists(session_key(case.tenant, deaf.pid))
    assert (await case.sessions.claim(other)).session is not None


async def test_that_a_socket_has_to_go_is_remembered_no_longer_than_its_session(
    commands: Commands, redis_client: Client
) -> None:
    case = Case(commands, most=1)
    await case.open()
    await case.sessions.open(case.session_ref._replace(pid=new_id()), {BOB: None})
    assert 0 < await redis_client.pttl(case.key) <= 120_000


async def test_a_socket_that_is_gone_does_not_count_until_it_comes_back(
    commands: Commands, redis_client: Client
) -> None:
    case = Case(commands, most=1)
    other = case.session_ref._replace(pid=new_id())
    await case.open()
    await case.sessions.begin_window(case.session_ref, 0)
    await case.sessions.open(other, {BOB: None})
    assert await redis_client.exists(case.key)
    assert (await case.claim()).generation == 2
    assert (await case.sessions.claim(other)).session is None
