"""Joins at running gateways: who may join, who may stay, and what is taken away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, campaign, conversation, user
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until
from tests.support.web import Answer, Asked, Beside, WebServer


@dataclass
class Team:
    """An organization, one of its agents, and two conversations."""

    id: str = field(default_factory=new_id)
    agent: str = field(default_factory=new_id)
    talk: str = field(default_factory=new_id)
    other: str = field(default_factory=new_id)

    def token(self, role: str = "agent") -> str:
        return mint(self.agent, self.id, role=role)


@pytest.fixture
def team() -> Team:
    return Team()


async def join(client: RawClient, conversation_id: str, **more: Any) -> str:
    answer = await client.call("join_conversation", {"conversation_id": conversation_id, **more})
    return "ok" if answer["ok"] else str(answer["error"]["code"])


async def join_room(client: RawClient, room: str) -> str:
    answer = await client.call("join_room", {"room": room})
    return "ok" if answer["ok"] else str(answer["error"]["code"])


def allows(server: WebServer, rule: Callable[[dict[str, Any]], bool]) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(status=200 if rule(asked.body) else 403)

    server.answer = answer


def about(server: WebServer, room: str) -> list[Any]:
    return [asked.body for asked in server.asked if asked.body["room"] == room]


def metric(replica: Replica, name: str) -> float:
    page: str = replica.get("/metrics")[1]
    return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(name))


# -- by role


async def test_a_kind_of_room_may_be_for_some_roles(
    clients: Clients, redis_server: EmbeddedRedis, replicas: Replicas, team: Team
) -> None:
    replica = replicas(redis_server.url, GATEWAY_ROOM_ROLES="campaign:admin,campaign:manager")
    agent, manager = [clients(replica.url, team.token(role)) for role in ("agent", "manager")]
    await asyncio.gather(agent.connect(), manager.connect())
    room = campaign(new_id())
    assert [await join_room(client, room) for client in (agent, manager)] == ["forbidden", "ok"]
    assert [await join(client, team.talk) for client in (agent, manager)] == ["ok", "ok"]
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.emit(team.id, "test:event", 1, to=room)
        await events.emit(team.id, "test:last", 1, to=conversation(team.talk))
    await asyncio.gather(agent.wait_for("test:last"), manager.wait_for("test:last"))
    assert (len(agent.named("test:event")), len(manager.named("test:event"))) == (0, 1)
    assert metric(replica, "gateway_joins_denied_total") == 1


async def test_a_refreshed_token_of_another_role_closes_what_that_role_may_not_join(
    clients: Clients, redis_server: EmbeddedRedis, replicas: Replicas, team: Team
) -> None:
    replica = replicas(redis_server.url, GATEWAY_ROOM_ROLES="campaign:admin")
    client = await clients(replica.url, team.token("admin")).connect()
    room = campaign(new_id())
    assert [await join_room(client, room), await join(client, team.talk)] == ["ok", "ok"]
    assert (await client.call("auth:refresh", {"token": team.token("admin")}))["ok"]
    assert (await client.call("auth:refresh", {"token": team.token("agent")}))["ok"]
    assert (await client.wait_for("left_room")).data == {"room": room}
    assert len(client.named("left_conversation")) == 0
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.emit(team.id, "test:event", 1, to=room)
        await events.emit(team.id, "test:last", 1, to=conversation(team.talk))
    await client.wait_for("test:last")
    assert client.named("test:event") == []
    assert await join_room(client, room) == "forbidden"


async def test_who_comes_back_in_another_role_gets_the_rooms_of_that_role(
    clients: Clients, redis_server: EmbeddedRedis, replicas: Replicas, team: Team
) -> None:
    replica = replicas(redis_server.url, GATEWAY_ROOM_ROLES="campaign:admin")
    client = await clients(replica.url, team.token("admin")).connect()
    room = campaign(new_id())
    assert [await join_room(client, room), await join(client, team.talk)] == ["ok", "ok"]
    client.drop()
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.emit(team.id, "test:event", "missed", to=room)
        await events.emit(team.id, "test:event", "for the conversation", to=conversation(team.talk))
        await events.emit(team.id, "test:event", "for the user", to=user(team.agent))
    client.token = team.token("agent")
    await client.reconnect()
    assert client.recovered
    assert (await client.wait_for("left_room")).data == {"room": room}
    assert [event.data for event in client.named("test:event")] == ["for the conversation", "for the user"]
    client.token = team.token("admin")
    client.drop()
    await client.reconnect()
    await client.wait_for("connected", count=3)
    assert client.recovered
    assert len(client.named("left_room")) == 1
    assert await join_room(client, room) == "ok"


# -- by asking


async def test_the_backend_is_asked_about_each_join_once(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    allows(web_server, lambda question: question["room"] == conversation(team.talk))
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_KEY="let-me-ask"
    )
    client = await clients(replica.url, team.token()).connect()
    assert [await join(client, team.talk) for _ in range(3)] == ["ok"] * 3
    assert [await join(client, team.other) for _ in range(3)] == ["forbidden"] * 3
    client.emit("join_conversation", {"conversation_id": team.other})
    error = await client.wait_for("error")
    assert (error.data["code"], error.data["event"]) == ("forbidden", "join_conversation")
    assert [asked.body for asked in web_server.asked] == [
        {"user_id": team.agent, "tenant": team.id, "role": "agent", "room": conversation(talk)}
        for talk in (team.talk, team.other)
    ]
    assert {asked.headers["Authorization"] for asked in web_server.asked} == {"Bearer let-me-ask"}
    assert metric(replica, 'gateway_authorize_total{outcome="allowed"}') == 1
    assert metric(replica, 'gateway_authorize_total{outcome="denied"}') == 1
    assert metric(replica, "gateway_authorize_cached") == 2
    assert "let-me-ask" not in replica.log_text()


async def test_nothing_of_a_room_reaches_who_was_refused(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    allows(web_server, lambda question: False)
    replica = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    client = await clients(replica.url, team.token()).connect()
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.emit(team.id, "test:event", 1, to=conversation(team.talk))
        answer = await client.call("join_conversation", {"conversation_id": team.talk, "history": 10})
        assert answer == {"ok": False, "error": {"code": "forbidden", "message": "you may not join this room"}}
        await events.emit(team.id, "test:event", 2, to=conversation(team.talk))
        await events.emit(team.id, "test:last", 3, to=user(team.agent))
        await client.wait_for("test:last")
    assert client.named("test:event") == []
    answer = await client.call("typing_start", {"conversation_id": team.talk})
    assert answer["error"]["code"] == "not_joined"


async def test_both_the_role_and_the_backend_have_to_allow(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    allows(web_server, lambda question: question["user_id"] == team.agent)
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_ROOM_ROLES="conversation:agent"
    )
    wrong_role = await clients(replica.url, team.token("viewer")).connect()
    wrong_user = await clients(replica.url, mint(new_id(), team.id, role="agent")).connect()
    right = await clients(replica.url, team.token()).connect()
    assert await join(wrong_role, team.talk) == "forbidden"
    assert web_server.asked == []
    assert [await join(client, team.talk) for client in (wrong_user, right)] == ["forbidden", "ok"]


async def test_who_is_in_a_room_is_asked_about_as_well_and_put_out(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_CACHE_S="0"
    )
    client = await clients(replica.url, team.token()).connect()
    assert await join(client, team.talk) == "ok"
    allows(web_server, lambda question: False)
    assert await join(client, team.talk, history=10) == "forbidden"
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": team.talk}
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.emit(team.id, "test:event", 1, to=conversation(team.talk))
        await events.emit(team.id, "test:last", 2, to=user(team.agent))
        await client.wait_for("test:last")
    assert client.named("test:event") == []


# -- while the backend is away


async def test_while_the_backend_is_away_joins_are_to_be_tried_again(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    replica = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    client = await clients(replica.url, team.token()).connect()
    assert await join(client, team.talk) == "ok"
    await web_server.stop()
    assert {await join(client, new_id()) for _ in range(20)} == {"unavailable"}
    assert await join(client, team.talk) == "ok"
    assert replica.get("/health/ready")[0] == 200
    assert metric(replica, "gateway_authorizer_up") == 0
    assert metric(replica, 'gateway_authorize_total{outcome="away"}') == 5
    await web_server.start()
    await until(lambda: _joins(client, new_id()), what="the backend to be asked again")
    assert metric(replica, "gateway_authorizer_up") == 1
    assert len(replica.log_lines("authorizer_unavailable")) == len(replica.log_lines("authorizer_available")) == 1


async def _joins(client: RawClient, conversation_id: str) -> bool:
    return await join(client, conversation_id) == "ok"


async def test_or_let_in_where_that_is_configured(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    await web_server.stop()
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_ON_FAILURE="allow"
    )
    client = await clients(replica.url, team.token()).connect()
    assert {await join(client, new_id()) for _ in range(10)} == {"ok"}


async def test_a_backend_that_hangs_keeps_nobody_but_the_first_waiting(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    web_server.hold()
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_TIMEOUT_S="0.5"
    )
    client = await clients(replica.url, team.token()).connect()
    assert {await join(client, new_id()) for _ in range(100)} == {"unavailable"}
    # It would have been asked a hundred times, for 50 s.
    assert len(web_server.asked) <= 7
    answer = await client.call("ping", {})
    assert answer["ok"]


# -- coming back


async def test_a_recovered_session_gets_the_rooms_that_are_still_allowed(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    first = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    second = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    client = await clients(first.url, team.token()).connect()
    room = campaign(new_id())
    assert [await join(client, team.talk), await join(client, team.other), await join_room(client, room)] == [
        "ok"
    ] * 3
    client.drop()
    allows(web_server, lambda question: question["room"] == conversation(team.other))
    async with AsyncPublisher.from_url(redis_server.url) as events:
        for name in (conversation(team.talk), conversation(team.other), room, user(team.agent)):
            await events.emit(team.id, "test:event", name, to=name)
        await client.reconnect(second.url)
        assert client.recovered
        assert (await client.wait_for("left_conversation")).data == {"conversation_id": team.talk}
        assert (await client.wait_for("left_room")).data == {"room": room}
        for name in (conversation(team.talk), conversation(team.other), room):
            await events.emit(team.id, "test:event", name, to=name)
        await events.emit(team.id, "test:last", 1, to=user(team.agent))
        await client.wait_for("test:last")
    kept = conversation(team.other)
    assert [event.data for event in client.named("test:event")] == [kept, user(team.agent), kept]
    assert [line["rooms"] for line in second.log_lines("rooms_not_restored")] == [2]
    # Nothing asked about the rooms that are the user's own.
    assert {asked.body["room"].partition(":")[0] for asked in web_server.asked} == {"conversation", "campaign"}
    # And the session has forgotten them, too.
    allows(web_server, lambda question: True)
    client.drop()
    await client.reconnect(first.url)
    await client.wait_for("connected", count=3)
    assert client.recovered
    answer = await client.call("typing_start", {"conversation_id": team.talk})
    assert answer["error"]["code"] == "not_joined"


async def test_rooms_that_are_kept_without_a_recovery_are_asked_about_as_well(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_CACHE_S="0"
    )
    client = await clients(replica.url, team.token()).connect()
    assert [await join(client, team.talk), await join(client, team.other)] == ["ok", "ok"]
    client.drop()
    allows(web_server, lambda question: question["room"] == conversation(team.other))
    await client.connect(pid=client.pid, offset="nonsense")
    connected = await client.wait_for("connected", count=2)
    assert (connected.data["recovered"], connected.data["reason"]) == (False, "unknown")
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": team.talk}
    async with AsyncPublisher.from_url(redis_server.url) as events:
        for talk in (team.talk, team.other):
            await events.emit(team.id, "test:event", talk, to=conversation(talk))
        await events.emit(team.id, "test:last", 1, to=user(team.agent))
    await client.wait_for("test:last")
    assert [event.data for event in client.named("test:event")] == [team.other]


async def test_while_the_backend_is_away_who_comes_back_keeps_what_they_had(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    first = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    second = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_TIMEOUT_S="0.5"
    )
    client = await clients(first.url, team.token()).connect()
    talks = [new_id() for _ in range(30)]
    assert {await join(client, talk) for talk in talks} == {"ok"}
    web_server.hold()
    async with AsyncPublisher.from_url(redis_server.url) as events:
        client.drop()
        await events.emit(team.id, "test:event", 1, to=conversation(talks[-1]))
        await client.reconnect(second.url)
        await client.wait_for("test:event")
        await client.wait_for("connected", count=2)
    assert client.recovered
    assert client.named("left_conversation") == []


# -- taking away


async def test_what_the_backend_takes_away_is_asked_about_afresh_on_every_replica(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    gateways = [await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url) for _ in range(2)]
    tabs = [await clients(replica.url, team.token()).connect() for replica in gateways]
    assert [await join(tab, team.talk) for tab in tabs] == ["ok", "ok"]
    assert [await join(tab, team.other) for tab in tabs] == ["ok", "ok"]
    allows(web_server, lambda question: False)
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.leave_room(team.id, team.agent, conversation(team.talk))
    for tab in tabs:
        assert (await tab.wait_for("left_conversation")).data == {"conversation_id": team.talk}
        assert await join(tab, team.talk) == "forbidden"
        assert await join(tab, team.other) == "ok"


async def test_what_is_taken_away_while_a_join_is_asked_about_is_not_joined(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    replica = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    client = await clients(replica.url, team.token()).connect()
    await client.wait_for("connected")
    web_server.hold()
    joining = asyncio.create_task(join(client, team.talk))
    await web_server.wait_asked(1)
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.leave_room(team.id, team.agent, conversation(team.talk))
        # What comes after it on the same channel has come: so has it.
        await events.emit(team.id, "test:last", 1, to=user(team.agent))
        await client.wait_for("test:last")
    answers = iter([200, 403])
    web_server.answer = lambda asked: Answer(status=next(answers))
    web_server.go_on()
    assert await joining == "forbidden"
    assert len(about(web_server, conversation(team.talk))) == 2


async def test_an_answer_does_not_outlive_the_time_in_which_the_user_is_heard_of(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    replica = await replicas_beside(
        redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_ROOM_LINGER_S="0"
    )
    client = await clients(replica.url, team.token()).connect()
    assert await join(client, team.talk) == "ok"
    await client.close()
    await until(lambda: replica.health()["rooms"] == 0, what="the rooms to be given up")
    allows(web_server, lambda question: False)
    async with AsyncPublisher.from_url(redis_server.url) as events:
        # No replica hears this.
        await events.leave_room(team.id, team.agent, conversation(team.talk))
    client = await clients(replica.url, team.token()).connect()
    assert await join(client, team.talk) == "forbidden"


async def test_what_is_taken_away_while_somebody_comes_back_is_not_given_back(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    first, second = [
        await replicas_beside(
            redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url, GATEWAY_AUTHORIZE_TIMEOUT_S="10"
        )
        for _ in range(2)
    ]
    client = await clients(first.url, team.token()).connect()
    assert await join(client, team.talk) == "ok"
    client.drop()
    web_server.hold()
    client.stay(second.url)
    # Its session is claimed by now, and nothing about the user is heard there yet.
    await web_server.wait_asked(2)
    async with AsyncPublisher.from_url(redis_server.url) as events:
        await events.leave_room(team.id, team.agent, conversation(team.talk))
        web_server.go_on()
        await client.wait_for("connected", count=2)
        await events.emit(team.id, "test:event", 1, to=conversation(team.talk))
        await events.emit(team.id, "test:last", 1, to=user(team.agent))
        await client.wait_for("test:last")
    assert client.recovered
    assert client.named("test:event") == []


async def test_what_is_taken_away_while_redis_is_not_heard_is_asked_about_afresh(
    clients: Clients, redis_server: EmbeddedRedis, replicas_beside: Beside, web_server: WebServer, team: Team
) -> None:
    replica = await replicas_beside(redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)
    client = await clients(replica.url, team.token()).connect()
    assert [await join(client, team.talk), await join(client, team.other)] == ["ok", "ok"]
    assert (await client.call("leave_conversation", {"conversation_id": team.other}))["ok"]
    allows(web_server, lambda question: False)
    async with (
        AsyncPublisher.from_url(redis_server.url) as events,
        redis.asyncio.Redis.from_url(redis_server.url) as admin,
    ):
        await admin.client_kill_filter(_type="pubsub")
        await events.leave_room(team.id, team.agent, conversation(team.other))
    await until(lambda: replica.log_lines("tenant_resynced"), what="the resync")
    assert await join(client, team.other) == "forbidden"
    assert await join(client, team.talk) == "forbidden"
