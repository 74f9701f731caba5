"""Joins at running gateways: who may join, who may stay, and what is taken away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import pytest_asyncio
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, campaign, conversation, user
from tests.metrics.page import page_of
from tests.recovery.conftest import Team as OneTalk
from tests.support.client import Clients, RawClient
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until
from tests.support.web import Answer, Asked, Beside, WebServer


@dataclass(kw_only=True)
class Team(OneTalk):
    """An organization, one of its agents, two conversations, and its backend."""

    other: str = field(default_factory=new_id)
    events: AsyncPublisher
    server: WebServer
    """What decides on joins."""
    clients: Clients

    async def connect(self, replica: Replica, **claims: Any) -> RawClient:
        """Connect the agent."""
        return await self.clients(replica.url, self.token(**claims)).connect()

    async def emit(self, data: Any, to: str, event: str = "test:event") -> None:
        """Publish an event."""
        await self.events.emit(self.id, event, data, to=to)

    async def take_away(self, talk: str) -> None:
        """Take a conversation away from the agent."""
        await self.events.leave_room(self.id, self.agent, conversation(talk))


@pytest_asyncio.fixture
async def team(redis_server: EmbeddedRedis, web_server: WebServer, clients: Clients) -> AsyncIterator[Team]:
    async with AsyncPublisher.from_url(redis_server.url) as events:
        yield Team(events=events, server=web_server, clients=clients)


@pytest.fixture
def asking(replicas_beside: Beside, redis_server: EmbeddedRedis, web_server: WebServer) -> Beside:
    """Start a replica that asks the web server about joins: `await asking(GATEWAY_AUTHORIZE_CACHE_S="0")`."""
    return partial(replicas_beside, redis_server.url, GATEWAY_AUTHORIZE_URL=web_server.url)


async def outcome(client: RawClient, event: str, payload: dict[str, Any]) -> str:
    answer = await client.call(event, payload)
    return "ok" if answer["ok"] else str(answer["error"]["code"])


async def join(client: RawClient, conversation_id: str, **more: Any) -> str:
    return await outcome(client, "join_conversation", {"conversation_id": conversation_id, **more})


async def join_room(client: RawClient, room: str) -> str:
    return await outcome(client, "join_room", {"room": room})


async def heard(client: RawClient, team: Team, *rooms: str) -> list[Any]:
    """Publish an event to each room that says which it is; return all such that the client has by now."""
    count = len(client.named("test:last")) + 1
    for room in rooms:
        await team.emit(room, room)
    await team.emit(1, user(team.agent), "test:last")
    await client.wait_for("test:last", count=count)
    return [event.data for event in client.named("test:event")]


def allows(server: WebServer, rule: Callable[[dict[str, Any]], bool]) -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(status=200 if rule(asked.body) else 403)

    server.answer = answer


def about(server: WebServer, room: str) -> list[Any]:
    return [asked.body for asked in server.asked if asked.body["room"] == room]


# -- by role


async def test_a_kind_of_room_may_be_for_some_roles(new_replica: Replicas, team: Team) -> None:
    replica = new_replica(GATEWAY_ROOM_ROLES="campaign:admin,campaign:manager")
    agent, manager = [team.clients(replica.url, team.token(role=role)) for role in ("agent", "manager")]
    await asyncio.gather(agent.connect(), manager.connect())
    room = campaign(new_id())
    assert [await join_room(client, room) for client in (agent, manager)] == ["forbidden", "ok"]
    assert [await join(client, team.talk) for client in (agent, manager)] == ["ok", "ok"]
    await team.emit(1, room)
    await team.emit(1, conversation(team.talk), "test:last")
    await asyncio.gather(agent.wait_for("test:last"), manager.wait_for("test:last"))
    assert (len(agent.named("test:event")), len(manager.named("test:event"))) == (0, 1)
    assert page_of(replica)("gateway_joins_denied_total") == 1


async def test_a_refreshed_token_of_another_role_closes_what_that_role_may_not_join(
    new_replica: Replicas, team: Team
) -> None:
    replica = new_replica(GATEWAY_ROOM_ROLES="campaign:admin")
    client = await team.connect(replica, role="admin")
    room = campaign(new_id())
    assert [await join_room(client, room), await join(client, team.talk)] == ["ok", "ok"]
    assert (await client.call("auth:refresh", {"token": team.token(role="admin")}))["ok"]
    assert (await client.call("auth:refresh", {"token": team.token(role="agent")}))["ok"]
    assert (await client.wait_for("left_room")).data == {"room": room}
    assert len(client.named("left_conversation")) == 0
    assert await heard(client, team, room) == []
    assert await join_room(client, room) == "forbidden"


async def test_who_comes_back_in_another_role_gets_the_rooms_of_that_role(
    new_replica: Replicas, team: Team
) -> None:
    replica = new_replica(GATEWAY_ROOM_ROLES="campaign:admin")
    client = await team.connect(replica, role="admin")
    room = campaign(new_id())
    assert [await join_room(client, room), await join(client, team.talk)] == ["ok", "ok"]
    client.drop()
    await team.emit("missed", room)
    await team.emit("for the conversation", conversation(team.talk))
    await team.emit("for the user", user(team.agent))
    client.token = team.token(role="agent")
    await client.reconnect()
    assert client.recovered
    assert (await client.wait_for("left_room")).data == {"room": room}
    assert [event.data for event in client.named("test:event")] == ["for the conversation", "for the user"]
    client.token = team.token(role="admin")
    client.drop()
    await client.reconnect()
    await client.wait_for("connected", count=3)
    assert client.recovered
    assert len(client.named("left_room")) == 1
    assert await join_room(client, room) == "ok"


async def test_what_came_by_a_room_that_is_closed_by_now_is_not_told_of_another(
    new_replica: Replicas, team: Team
) -> None:
    client = await team.connect(new_replica(GATEWAY_ROOM_ROLES="campaign:admin"), role="admin")
    room, other = campaign(new_id()), conversation(team.other)
    assert await join_room(client, room) == "ok"
    noted = client.offset
    await team.events.emit(team.id, "test:event", 1, to=[room, other])
    await client.wait_for("test:event")
    client.drop()
    client.token = team.token(role="agent")
    await client.reconnect()
    assert client.recovered
    answer = await client.call("join_conversation", {"conversation_id": team.other, "since": noted})
    assert (answer["ok"], answer["events"], answer["complete"]) == (True, [], True)


# -- by asking


async def test_the_backend_is_asked_about_each_join_once(asking: Beside, team: Team) -> None:
    allows(team.server, lambda question: question["room"] == conversation(team.talk))
    replica = await asking(GATEWAY_AUTHORIZE_KEY="let-me-ask")
    client = await team.connect(replica)
    assert [await join(client, team.talk) for _ in range(3)] == ["ok"] * 3
    assert [await join(client, team.other) for _ in range(3)] == ["forbidden"] * 3
    client.emit("join_conversation", {"conversation_id": team.other})
    error = await client.wait_for("error")
    assert (error.data["code"], error.data["event"]) == ("forbidden", "join_conversation")
    assert [asked.body for asked in team.server.asked] == [
        {"user_id": team.agent, "tenant": team.id, "role": "agent", "room": conversation(talk)}
        for talk in (team.talk, team.other)
    ]
    assert {asked.headers["Authorization"] for asked in team.server.asked} == {"Bearer let-me-ask"}
    assert page_of(replica)("gateway_authorize_total", outcome="allowed") == 1
    assert page_of(replica)("gateway_authorize_total", outcome="denied") == 1
    assert page_of(replica)("gateway_authorize_cached") == 2
    assert "let-me-ask" not in replica.log_text()


async def test_nothing_of_a_room_reaches_who_was_refused(asking: Beside, team: Team) -> None:
    allows(team.server, lambda question: False)
    replica = await asking()
    client = await team.connect(replica)
    await team.emit(1, conversation(team.talk))
    answer = await client.call("join_conversation", {"conversation_id": team.talk, "history": 10})
    assert answer == {"ok": False, "error": {"code": "forbidden", "message": "you may not join this room"}}
    assert await heard(client, team, conversation(team.talk)) == []
    assert await outcome(client, "typing_start", {"conversation_id": team.talk}) == "not_joined"


async def test_both_the_role_and_the_backend_have_to_allow(asking: Beside, team: Team) -> None:
    allows(team.server, lambda question: question["user_id"] == team.agent)
    replica = await asking(GATEWAY_ROOM_ROLES="conversation:agent")
    wrong_role = await team.connect(replica, role="viewer")
    wrong_user = await team.clients(replica.url, mint(new_id(), team.id, role="agent")).connect()
    right = await team.connect(replica)
    assert await join(wrong_role, team.talk) == "forbidden"
    assert team.server.asked == []
    assert [await join(client, team.talk) for client in (wrong_user, right)] == ["forbidden", "ok"]


async def test_who_is_in_a_room_is_asked_about_as_well_and_put_out(asking: Beside, team: Team) -> None:
    replica = await asking(GATEWAY_AUTHORIZE_CACHE_S="0")
    client = await team.connect(replica)
    assert await join(client, team.talk) == "ok"
    allows(team.server, lambda question: False)
    assert await join(client, team.talk, history=10) == "forbidden"
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": team.talk}
    assert await heard(client, team, conversation(team.talk)) == []


# -- while the backend is away


async def test_while_the_backend_is_away_joins_are_to_be_tried_again(asking: Beside, team: Team) -> None:
    replica = await asking()
    client = await team.connect(replica)
    assert await join(client, team.talk) == "ok"
    await team.server.stop()
    assert {await join(client, new_id()) for _ in range(20)} == {"unavailable"}
    assert await join(client, team.talk) == "ok"
    assert replica.get("/health/ready")[0] == 200
    assert page_of(replica)("gateway_authorizer_up") == 0
    assert page_of(replica)("gateway_authorize_total", outcome="away") == 5
    await team.server.start()
    await until(lambda: _joins(client, new_id()), what="the backend to be asked again")
    assert page_of(replica)("gateway_authorizer_up") == 1
    assert len(replica.log_lines("authorizer_unavailable")) == len(replica.log_lines("authorizer_available")) == 1


async def _joins(client: RawClient, conversation_id: str) -> bool:
    return await join(client, conversation_id) == "ok"


async def test_or_let_in_where_that_is_configured(asking: Beside, team: Team) -> None:
    await team.server.stop()
    replica = await asking(GATEWAY_AUTHORIZE_ON_FAILURE="allow")
    client = await team.connect(replica)
    assert {await join(client, new_id()) for _ in range(10)} == {"ok"}


async def test_a_backend_that_hangs_keeps_nobody_but_the_first_waiting(asking: Beside, team: Team) -> None:
    team.server.hold()
    replica = await asking(GATEWAY_AUTHORIZE_TIMEOUT_S="0.5")
    client = await team.connect(replica)
    assert {await join(client, new_id()) for _ in range(100)} == {"unavailable"}
    # It would have been asked a hundred times, for 50 s.
    assert len(team.server.asked) <= 7
    assert await outcome(client, "ping", {}) == "ok"


# -- coming back


async def test_a_recovered_session_gets_the_rooms_that_are_still_allowed(asking: Beside, team: Team) -> None:
    first, second = await asking(), await asking()
    client = await team.connect(first)
    room = campaign(new_id())
    assert [await join(client, talk) for talk in (team.talk, team.other)] == ["ok", "ok"]
    assert await join_room(client, room) == "ok"
    client.drop()
    allows(team.server, lambda question: question["room"] == conversation(team.other))
    for name in (conversation(team.talk), conversation(team.other), room, user(team.agent)):
        await team.emit(name, name)
    await client.reconnect(second.url)
    assert client.recovered
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": team.talk}
    assert (await client.wait_for("left_room")).data == {"room": room}
    kept = conversation(team.other)
    came = await heard(client, team, conversation(team.talk), kept, room)
    assert came == [kept, user(team.agent), kept]
    assert [line["rooms"] for line in second.log_lines("rooms_not_restored")] == [2]
    # Nothing asked about the rooms that are the user's own.
    assert {asked.body["room"].partition(":")[0] for asked in team.server.asked} == {"conversation", "campaign"}
    # And the session has forgotten them, too.
    allows(team.server, lambda question: True)
    client.drop()
    await client.reconnect(first.url)
    await client.wait_for("connected", count=3)
    assert client.recovered
    assert await outcome(client, "typing_start", {"conversation_id": team.talk}) == "not_joined"


async def test_rooms_that_are_kept_without_a_recovery_are_asked_about_as_well(asking: Beside, team: Team) -> None:
    replica = await asking(GATEWAY_AUTHORIZE_CACHE_S="0")
    client = await team.connect(replica)
    assert [await join(client, team.talk), await join(client, team.other)] == ["ok", "ok"]
    client.drop()
    allows(team.server, lambda question: question["room"] == conversation(team.other))
    await client.connect(pid=client.pid, offset="nonsense")
    connected = await client.wait_for("connected", count=2)
    assert (connected.data["recovered"], connected.data["reason"]) == (False, "unknown")
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": team.talk}
    kept = conversation(team.other)
    assert await heard(client, team, conversation(team.talk), kept) == [kept]


async def test_while_the_backend_is_away_who_comes_back_keeps_what_they_had(asking: Beside, team: Team) -> None:
    first = await asking()
    second = await asking(GATEWAY_AUTHORIZE_TIMEOUT_S="0.5")
    client = await team.connect(first)
    talks = [new_id() for _ in range(30)]
    assert {await join(client, talk) for talk in talks} == {"ok"}
    team.server.hold()
    client.drop()
    await team.emit(1, conversation(talks[-1]))
    await client.reconnect(second.url)
    await client.wait_for("test:event")
    await client.wait_for("connected", count=2)
    assert client.recovered
    assert client.named("left_conversation") == []


# -- taking away


async def test_what_the_backend_takes_away_is_asked_about_afresh_on_every_replica(
    asking: Beside, team: Team
) -> None:
    gateways = [await asking() for _ in range(2)]
    tabs = [await team.connect(replica) for replica in gateways]
    assert [await join(tab, team.talk) for tab in tabs] == ["ok", "ok"]
    assert [await join(tab, team.other) for tab in tabs] == ["ok", "ok"]
    allows(team.server, lambda question: False)
    await team.take_away(team.talk)
    for tab in tabs:
        assert (await tab.wait_for("left_conversation")).data == {"conversation_id": team.talk}
        assert await join(tab, team.talk) == "forbidden"
        assert await join(tab, team.other) == "ok"


async def test_what_is_taken_away_while_a_join_is_asked_about_is_not_joined(asking: Beside, team: Team) -> None:
    replica = await asking()
    client = await team.connect(replica)
    await client.wait_for("connected")
    team.server.hold()
    joining = asyncio.create_task(join(client, team.talk))
    await team.server.wait_asked(1)
    await team.take_away(team.talk)
    # What comes after it on the same channel has come: so has it.
    await team.emit(1, user(team.agent), "test:last")
    await client.wait_for("test:last")
    answers = iter([200, 403])
    team.server.answer = lambda asked: Answer(status=next(answers))
    team.server.go_on()
    assert await joining == "forbidden"
    assert len(about(team.server, conversation(team.talk))) == 2


async def test_an_answer_does_not_outlive_the_time_in_which_the_user_is_heard_of(
    asking: Beside, team: Team
) -> None:
    replica = await asking(GATEWAY_ROOM_LINGER_S="0")
    client = await team.connect(replica)
    assert await join(client, team.talk) == "ok"
    await client.close()
    await until(lambda: replica.health()["rooms"] == 0, what="the rooms to be given up")
    allows(team.server, lambda question: False)
    # No replica hears this.
    await team.take_away(team.talk)
    client = await team.connect(replica)
    assert await join(client, team.talk) == "forbidden"


async def test_what_is_taken_away_while_somebody_comes_back_is_not_given_back(asking: Beside, team: Team) -> None:
    first, second = [await asking(GATEWAY_AUTHORIZE_TIMEOUT_S="10") for _ in range(2)]
    client = await team.connect(first)
    assert await join(client, team.talk) == "ok"
    client.drop()
    team.server.hold()
    client.stay(second.url)
    # Its session is claimed by now, and nothing about the user is heard there yet.
    await team.server.wait_asked(2)
    await team.take_away(team.talk)
    team.server.go_on()
    await client.wait_for("connected", count=2)
    assert client.recovered
    assert await heard(client, team, conversation(team.talk)) == []


async def test_what_is_taken_away_while_redis_is_not_heard_is_asked_about_afresh(
    asking: Beside, redis_client: redis.asyncio.Redis, team: Team
) -> None:
    replica = await asking()
    client = await team.connect(replica)
    assert [await join(client, team.talk), await join(client, team.other)] == ["ok", "ok"]
    assert (await client.call("leave_conversation", {"conversation_id": team.other}))["ok"]
    allows(team.server, lambda question: False)
    await redis_client.client_kill_filter(_type="pubsub")
    await team.take_away(team.other)
    await until(lambda: replica.log_lines("tenant_resynced"), what="the resync")
    assert await join(client, team.other) == "forbidden"
    assert await join(client, team.talk) == "forbidden"
