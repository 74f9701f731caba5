"""How many sockets a user has at most."""

from __future__ import annotations

import json

from gateway.redis.commands import Commands
from gateway.sessions.keys import session_key
from publisher import wire
from publisher.wire import parse_message
from tests.sessions.case import BOB, Case, Client, sockets
from tests.support.tokens import new_id


async def test_of_too_many_sockets_the_oldest_goes(commands: Commands, redis_client: Client) -> None:
    case = Case(commands, redis_client, most=2)
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
    case = Case(commands, redis_client, most=1)
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
    case = Case(commands, redis_client, most=1)
    await case.open()
    await case.sessions.open(case.session_ref._replace(pid=new_id()), {BOB: None})
    assert 0 < await redis_client.pttl(case.key) <= 120_000


async def test_a_socket_that_is_gone_does_not_count_until_it_comes_back(
    commands: Commands, redis_client: Client
) -> None:
    case = Case(commands, redis_client, most=1)
    other = case.session_ref._replace(pid=new_id())
    await case.open()
    await case.sessions.begin_window(case.session_ref, 0)
    await case.sessions.open(other, {BOB: None})
    assert await redis_client.exists(case.key)
    assert (await case.claim()).generation == 2
    assert (await case.sessions.claim(other)).session is None
