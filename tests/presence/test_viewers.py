"""Who looks at a conversation."""

from __future__ import annotations

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import conversation
from tests.presence.conftest import Connect, Office
from tests.support.browsers import Browsers
from tests.support.publisher_process import Publishers
from tests.support.replica import Replica
from tests.support.tokens import new_id
from tests.support.waiting import until


def test_an_agent_sees_that_a_colleague_has_it_open(
    browsers: Browsers, pair: list[Replica], office: Office
) -> None:
    ann = browsers(pair[0].url, office.token(office.ann))
    ann.connected()
    ann.join(office.talk)
    ann.wait_for("conversation:viewers", office.viewers(office.ann, sockets=1))
    bob = browsers(pair[1].url, office.token(office.bob))
    bob.connected()
    bob.join(office.talk)
    for page in (ann, bob):
        page.wait_for("conversation:viewers", office.viewers(office.ann, office.bob, sockets=2))
    bob.emit("leave_conversation", {"conversation_id": office.talk})
    ann.wait_for("conversation:viewers", office.viewers(office.ann, sockets=1), times=2)
    bob.join(office.talk)
    ann.wait_for("conversation:viewers", office.viewers(office.ann, office.bob, sockets=2), times=2)
    bob.close()
    ann.wait_for("conversation:viewers", office.viewers(office.ann, sockets=1), times=3)


async def test_a_room_is_counted_across_replicas(connect: Connect, office: Office, pair: list[Replica]) -> None:
    users = [office.ann, office.ann, office.bob, office.cid]
    clients = [await connect(pair[number % 2].url, user, join=True) for number, user in enumerate(users)]
    for client in clients[:2]:
        seen = await client.call("presence", {"conversation_id": office.talk})
        assert seen["ok"]
        assert office.viewers(office.ann, office.bob, office.cid, sockets=4)(seen)
        assert seen["typing"] == []
    for client in clients:
        await client.close()


async def test_those_of_a_killed_replica_look_no_more(
    connect: Connect, office: Office, own_pair: list[Replica]
) -> None:
    dying, other = own_pair
    ann = await connect(other.url, office.ann, join=True)
    await connect(dying.url, office.bob, join=True)
    await ann.wait_for("conversation:viewers", lambda event: event.data["sockets"] == 2)
    dying.kill()
    await ann.wait_for(
        "conversation:viewers", lambda event: office.viewers(office.ann, sockets=1)(event.data), count=2
    )


async def test_who_comes_back_is_told_who_looks_without_asking(
    connect: Connect, office: Office, pair: list[Replica]
) -> None:
    ann = await connect(pair[0].url, office.ann, join=True)
    ann.drop()
    await connect(pair[1].url, office.bob, join=True)
    await ann.reconnect(pair[1].url)
    assert ann.recovered
    await ann.wait_for(
        "conversation:viewers", lambda event: office.viewers(office.ann, office.bob, sockets=2)(event.data)
    )


async def test_a_user_from_whom_a_conversation_was_taken_looks_at_it_no_more(
    connect: Connect, office: Office, stage_redis: EmbeddedRedis, pair: list[Replica], publishers: Publishers
) -> None:
    backend = publishers(stage_redis.url)
    ann = await connect(pair[0].url, office.ann, join=True)
    bob = await connect(pair[1].url, office.bob, join=True)
    away = await connect(pair[1].url, office.cid, join=True)
    await ann.wait_for("conversation:viewers", lambda event: event.data["sockets"] == 3)
    away.drop()
    for user in (office.bob, office.cid):
        await backend.acall("leave_room", office.id, user, conversation(office.talk))
    await bob.wait_for("left_conversation")
    await away.reconnect()
    await until(lambda: office.viewers(office.ann, sockets=1)(ann.named("conversation:viewers")[-1].data))
    assert (await away.call("presence", {"conversation_id": office.talk}))["error"]["code"] == "not_joined"


async def test_coming_and_going_without_end_is_told_at_most_twice_a_second(
    connect: Connect, office: Office, pair: list[Replica]
) -> None:
    ann = await connect(pair[0].url, office.ann, join=True)
    bob = await connect(pair[1].url, new_id())
    for _ in range(100):
        bob.emit("join_conversation", {"conversation_id": office.talk})
        bob.emit("leave_conversation", {"conversation_id": office.talk})
    await bob.wait_for("left_conversation", count=100)
    told = ann.named("conversation:viewers")
    took_s = told[-1].at - told[1].at if len(told) > 2 else 0.0
    assert len(told) <= 3 + took_s * 2
    await until(lambda: ann.named("conversation:viewers")[-1].data["sockets"] == 1)
