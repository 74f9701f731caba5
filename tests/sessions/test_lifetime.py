"""How long a session lives, and what its socket surely had."""

from __future__ import annotations

import json

from gateway.redis.commands import Commands
from publisher import wire
from publisher.offsets import SEQ_PER_S
from publisher.wire import parse_message
from tests.sessions.case import BOB, Case, Client, sockets


async def window_ms(case: Case) -> int:
    """Return the ms for which the session still waits for its socket to come back."""
    seconds, micros = await case.redis.time()
    return int(await case.redis.hget(case.key, "w") or 0) - int(seconds) * 1000 - int(micros) // 1000


async def test_a_session_lives_for_its_lease_and_for_the_window_once_its_socket_is_gone(case: Case) -> None:
    await case.open()
    assert 119_000 < await case.redis.pttl(case.key) <= 120_000
    await case.sessions.begin_window(case.session_ref, 0)
    assert 59_000 < await window_ms(case) <= 60_000
    assert (await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])).generations == [1]
    assert 119_000 < await case.redis.pttl(case.key) <= 120_000
    assert not await case.redis.hexists(case.key, "w")
    await case.sessions.begin_window(case.session_ref, 0)
    await case.claim()
    assert 119_000 < await case.redis.pttl(case.key) <= 120_000
    assert not await case.redis.hexists(case.key, "w")


async def test_nobody_comes_back_after_the_window_but_the_rooms_are_known_for_longer(case: Case) -> None:
    """A sweep of presence that comes late needs them: else a page shows for ever that somebody looks at it."""
    await case.open()
    await case.sessions.begin_window(case.session_ref, 0)
    assert await case.redis.pttl(case.key) > 60_000
    await case.redis.hset(case.key, "w", 1)
    assert await case.claim() is None


async def test_a_session_that_must_not_be_recovered_is_dropped(case: Case) -> None:
    await case.open()
    await case.sessions.end(case.session_ref)
    assert await case.claim() is None


async def test_a_live_socket_surely_had_what_is_older_than_its_heartbeats(case: Case) -> None:
    place = await case.open()
    await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])
    seconds, micros = await case.redis.time()
    seen = (await case.claim()).seen_until
    assert place.seq - SEQ_PER_S <= seen <= seconds * SEQ_PER_S + micros - SEQ_PER_S


async def test_a_socket_whose_session_moved_on_does_not_renew_it(case: Case) -> None:
    await case.open()
    await case.claim()
    await case.redis.pexpire(case.key, 10_000)
    renewed = await case.sessions.renew(case.session_ref.tenant, [(case.session_ref, 0)])
    assert renewed.generations == [2]
    assert await case.redis.pttl(case.key) <= 10_000
    assert (await case.claim()).seen_until == 0


async def test_a_socket_that_just_came_back_surely_had_nothing(commands: Commands, redis_client: Client) -> None:
    case = Case(commands, redis_client, unnoticed_s=0.0)
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


async def test_who_has_a_session_that_is_found_to_have_a_hole_later_is_sent_back_for_it(case: Case) -> None:
    await case.open()
    async with case.redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        await pubsub.subscribe(wire.channel(case.tenant, BOB))
        assert not (await case.claim()).holed
        await case.sessions.mark_holed([case.session_ref])
        pushes = [parse_message((await anext(pubsub.listen()))["data"]) for _ in range(2)]
    closes = [json.loads(push.body) for push in pushes]
    assert closes == [{"do": "close", "pid": case.pid, "before": generation} for generation in (2, 3)]
    assert (await case.claim()).holed


async def test_a_socket_that_went_after_another_had_its_session_leaves_that_alone(case: Case) -> None:
    await case.open()
    await case.claim()
    await case.sessions.end(case.session_ref)
    await case.sessions.begin_window(case.session_ref, 0)
    assert 119_000 < await case.redis.pttl(case.key) <= 120_000
    assert await case.redis.zscore(sockets(case), case.pid) > 0


async def test_what_was_lost_is_kept_for_a_socket_that_may_not_have_heard_it(case: Case) -> None:
    await case.sessions.open(case.session_ref, {BOB: None}, lost="expired")
    assert (await case.claim()).lost == "expired"
    await case.open()
    assert (await case.claim()).lost == ""
