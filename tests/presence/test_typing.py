"""Typing: told once, and never for ever."""

from __future__ import annotations

import time

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from tests.presence.conftest import LEASE_S, TIMES, TYPING_S, Connect, Office
from tests.recovery.conftest import Behind
from tests.support.browsers import Browsers, Node
from tests.support.client import RawClient
from tests.support.replica import Replica, Replicas
from tests.support.waiting import SLACK_S, until


def told(client: RawClient) -> list[tuple[str, bool]]:
    return [(event.data["user_id"], event.data["typing"]) for event in client.named("user_typing")]


async def type(client: RawClient, office: Office, *, start: bool = True) -> None:
    answer = await client.call("typing_start" if start else "typing_stop", {"conversation_id": office.talk})
    assert answer == {"ok": True}


async def test_typing_that_is_said_with_every_key_is_told_once(
    connect: Connect, office: Office, pair: list[Replica]
) -> None:
    ann, bob = await connect(pair[0].url, office.ann, join=True), await connect(pair[1].url, office.bob, join=True)
    for _ in range(40):
        ann.emit("typing_start", {"conversation_id": office.talk})
    await type(ann, office, start=False)
    await bob.wait_for("user_typing", count=2)
    assert told(bob) == [(office.ann, True), (office.ann, False)]


async def test_typing_that_nobody_stops_ends_and_can_begin_again(
    connect: Connect, office: Office, pair: list[Replica]
) -> None:
    ann, bob = await connect(pair[0].url, office.ann, join=True), await connect(pair[1].url, office.bob, join=True)
    for turn in (1, 2):
        began = time.monotonic()
        await type(ann, office)
        await bob.wait_for("user_typing", count=2 * turn)
        assert time.monotonic() - began > TYPING_S * 0.9
    assert told(bob) == [(office.ann, True), (office.ann, False)] * 2


async def test_several_typists_are_told_apart(connect: Connect, office: Office, pair: list[Replica]) -> None:
    ann, bob = await connect(pair[0].url, office.ann, join=True), await connect(pair[1].url, office.bob, join=True)
    cid = await connect(pair[0].url, office.cid, join=True)
    await type(ann, office)
    await cid.wait_for("user_typing")
    await type(bob, office)
    await cid.wait_for("user_typing", count=2)
    seen = await cid.call("presence", {"conversation_id": office.talk})
    assert sorted(seen["typing"]) == sorted([office.ann, office.bob])
    await type(ann, office, start=False)
    await cid.wait_for("user_typing", count=4)
    assert told(cid) == [(office.ann, True), (office.bob, True), (office.ann, False), (office.bob, False)]


@pytest.mark.parametrize("how", ["leaves", "closes", "drops"])
async def test_typing_ends_with_the_socket(
    connect: Connect, office: Office, new_replica: Replicas, how: str
) -> None:
    pair = [new_replica(GATEWAY_TYPING_TIMEOUT_S="60") for _ in range(2)]
    ann, bob = await connect(pair[0].url, office.ann, join=True), await connect(pair[1].url, office.bob, join=True)
    ann.emit("typing_start", {"conversation_id": office.talk})
    if how == "leaves":
        ann.emit("leave_conversation", {"conversation_id": office.talk})
        ann.emit("join_conversation", {"conversation_id": office.talk})
        await ann.wait_for("joined_conversation")
    await type(ann, office)
    await bob.wait_for("user_typing")
    if how == "leaves":
        ann.emit("leave_conversation", {"conversation_id": office.talk})
    elif how == "closes":
        await ann.close()
    else:
        ann.drop()
    await until(lambda: told(bob)[-1] == (office.ann, False))


def test_typing_ends_with_the_typists_process(browsers: Browsers, office: Office, new_replica: Replicas) -> None:
    pair = [new_replica(GATEWAY_TYPING_TIMEOUT_S="60") for _ in range(2)]
    observer = browsers(pair[0].url, office.token(office.bob))
    observer.connected()
    observer.join(office.talk)
    process = Node()
    typist = process.open(pair[1].url, office.token(office.ann))
    typist.connected()
    typist.join(office.talk)
    typist.emit("typing_start", {"conversation_id": office.talk})
    observer.wait_for("user_typing", lambda data: data == office.typing(office.ann, True))
    process.kill()
    observer.wait_for("user_typing", lambda data: data == office.typing(office.ann, False))


async def test_typing_ends_though_the_typists_replica_was_killed(
    connect: Connect, office: Office, own_pair: list[Replica]
) -> None:
    dying, other = own_pair
    ann, bob = await connect(dying.url, office.ann, join=True), await connect(other.url, office.bob, join=True)
    await type(ann, office)
    await bob.wait_for("user_typing")
    dying.kill()
    began = time.monotonic()
    await bob.wait_for("user_typing", count=2)
    assert time.monotonic() - began < TYPING_S + LEASE_S / 3 + SLACK_S
    assert told(bob) == [(office.ann, True), (office.ann, False)]


async def test_own_tabs_hear_of_it_only_where_they_are_to(
    connect: Connect, office: Office, new_replica: Replicas
) -> None:
    replica = new_replica(**TIMES, GATEWAY_TYPING_TO_OWN_TABS="true")
    ann, tab = await connect(replica.url, office.ann, join=True), await connect(replica.url, office.ann, join=True)
    await type(ann, office)
    await tab.wait_for("user_typing", count=2)
    assert told(tab) == [(office.ann, True), (office.ann, False)]
    assert told(ann) == []


async def test_who_was_away_when_it_ended_is_told_so_without_asking(
    connect: Connect, office: Office, pair: list[Replica]
) -> None:
    ann, bob = await connect(pair[0].url, office.ann, join=True), await connect(pair[1].url, office.bob, join=True)
    cid = await connect(pair[1].url, office.cid, join=True)
    await type(ann, office)
    await bob.wait_for("user_typing")
    bob.drop()
    await type(ann, office, start=False)
    await type(cid, office)
    await until(lambda: (office.ann, False) in told(cid))
    await bob.reconnect(pair[0].url)
    await bob.wait_for("connected", count=2)
    assert bob.recovered
    assert told(bob)[1:3] == [(office.ann, False), (office.cid, True)]


async def test_who_joins_is_told_who_types(connect: Connect, office: Office, pair: list[Replica]) -> None:
    ann = await connect(pair[0].url, office.ann, join=True)
    await type(ann, office)
    bob = await connect(pair[1].url, office.bob, join=True)
    await bob.wait_for("user_typing")
    assert told(bob)[0] == (office.ann, True)


async def test_one_who_came_back_can_stop_what_it_began_before(
    connect: Connect, office: Office, new_replica: Replicas
) -> None:
    here, there = (new_replica(GATEWAY_TYPING_TIMEOUT_S="60") for _ in range(2))
    ann, bob = await connect(here.url, office.ann, join=True), await connect(there.url, office.bob, join=True)
    await type(ann, office)
    await bob.wait_for("user_typing")
    # Its replica has not noticed yet that the old connection is dead.
    here.pause()
    await ann.reconnect(there.url)
    await type(ann, office, start=False)
    await bob.wait_for("user_typing", count=2)
    here.resume()
    assert told(bob) == [(office.ann, True), (office.ann, False)]


async def test_what_ends_while_a_replica_does_not_hear_is_told_when_it_does(
    connect: Connect, office: Office, redis_server: EmbeddedRedis, replicas: Replicas, behind_proxy: Behind
) -> None:
    replica = replicas(redis_server.url)  # before the proxy, which is on this loop
    proxy, deaf = await behind_proxy(redis_server.port)
    ann, bob = await connect(replica.url, office.ann, join=True), await connect(deaf.url, office.bob, join=True)
    cid = await connect(replica.url, office.cid, join=True)
    await type(ann, office)
    await bob.wait_for("user_typing")
    proxy.stall()
    await type(ann, office, start=False)
    await cid.close()
    await until(lambda: replica.log_lines("socket_disconnected"))
    proxy.cut()
    proxy.resume()
    await bob.wait_for("user_typing", lambda event: event.data == office.typing(office.ann, False))
    await until(lambda: bob.named("conversation:viewers")[-1].data["sockets"] == 2)
