"""`GET /api/v1/presence` and `/rooms`, and what a browser asks about presence."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
import redis.asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, Offset, campaign, conversation, parse_offset, user
from tests.api.conftest import ON, Caller, Connect
from tests.support.client import Clients
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id
from tests.support.waiting import until


async def online(api: Caller, org: str, **query: str) -> list[str]:
    answer = await api.get("/v1/presence", organization_id=org, **query)
    assert answer.status == 200, answer.body
    found: list[str] = answer.body["online"]
    return found


# -- presence


async def test_a_user_is_online_while_one_of_their_sockets_is_there(
    api: Caller, connect: Connect, org: str
) -> None:
    alice, bruno = sorted((new_id(), new_id()))
    tabs = [await connect(alice) for _ in range(2)]
    other = await connect(bruno)
    assert await online(api, org) == [alice, bruno]
    assert await online(api, new_id()) == []
    await other.close()
    await until(lambda: online_is(api, org, [alice]))
    await tabs[0].close()
    assert (await tabs[1].call("presence"))["online"] == [alice]
    assert await online(api, org) == [alice]


async def online_is(api: Caller, org: str, users: list[str]) -> bool:
    return await online(api, org) == users


async def test_some_users_can_be_asked_for(api: Caller, connect: Connect, org: str) -> None:
    alice, bruno, nobody = new_id(), "bruno@example.com", new_id()
    for who in (alice, bruno):
        await connect(who)
    assert await online(api, org, user_ids=f"{alice},{nobody}") == [alice]
    assert await online(api, org, user_ids=f"{nobody},{bruno},{alice},{alice}") == sorted([alice, bruno])
    assert await online(api, org, user_ids=nobody) == []
    several = [("organization_id", org), ("user_ids", alice), ("user_ids", f"{nobody},{bruno}")]
    answer = await api.request("GET", "/v1/presence", params=several)
    assert answer.body == {"online": sorted([alice, bruno])}


async def test_two_replicas_give_the_same_answer(
    new_replica: Replicas, clients: Clients, http: aiohttp.ClientSession, org: str
) -> None:
    pair = [new_replica(**ON) for _ in range(2)]
    users = sorted(new_id() for _ in pair)
    for replica, who in zip(pair, users, strict=True):
        await clients(replica.url, mint(who, org)).connect()
    assert [await online(Caller(http, replica.url), org) for replica in pair] == [users, users]


async def test_a_browser_asks_for_its_own_organization(
    replica: Replica, clients: Clients, connect: Connect
) -> None:
    alice, elsewhere = new_id(), new_id()
    client = await connect(alice)
    await clients(replica.url, mint(elsewhere, new_id())).connect()
    assert await client.call("presence") == {"ok": True, "online": [alice]}
    assert await client.call("presence", {"user_ids": [elsewhere, alice]}) == {"ok": True, "online": [alice]}
    assert await client.call("presence", {"user_ids": []}) == {"ok": True, "online": []}


@pytest.mark.parametrize("user_ids", ["x", {}, 7, [7], [None], ["a b"], ["x" * 200], ["u"] * 1001])
async def test_a_browser_that_asks_nonsense_is_told(connect: Connect, user_ids: Any) -> None:
    client = await connect()
    answer = await client.call("presence", {"user_ids": user_ids})
    assert (answer["ok"], answer["error"]["code"]) == (False, "bad_request")
    assert client.connected


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "organization_id"),
        ({"organization_id": "x"}, "organization_id"),
        ({"organization_id": new_id(), "user_ids": "a b"}, "user_ids.0"),
        ({"organization_id": new_id(), "user_ids": ",".join(f"u{n}" for n in range(1001))}, "user_ids"),
        ({"organization_id": new_id(), "limit": "1"}, "limit"),
    ],
)
async def test_a_question_that_is_no_good_names_the_field(api: Caller, query: dict[str, str], field: str) -> None:
    answer = await api.get("/v1/presence", **query)
    assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, [field])


async def test_a_name_that_is_given_twice_is_no_good(api: Caller, org: str) -> None:
    twice = [("organization_id", org), ("organization_id", new_id())]
    answer = await api.request("GET", "/v1/presence", params=twice)
    assert (answer.status, answer.body["errors"][0]["field"]) == (400, "organization_id")


# -- rooms


async def test_a_room_shows_who_listens_and_what_is_kept(
    api: Caller, shared_redis_server: EmbeddedRedis, connect: Connect, org: str, talk: str
) -> None:
    room = conversation(talk)
    for _ in range(2):
        await connect(join=talk)
    async with AsyncPublisher.from_url(shared_redis_server.url) as events:
        offsets = [(await events.emit(org, "n", {"n": n}, to=room)).offset for n in range(5)]
    now = (await api.get(f"/v1/rooms/{room}", organization_id=org)).body
    assert now == {"room": room, "members": 2, "replicas": 1, "offset": offsets[-1], "kept": 5, "events": []}
    past = (await api.get(f"/v1/rooms/{room}", organization_id=org, history="2")).body["events"]
    assert past == [{"event": "n", "data": {"n": n}, "offset": offsets[n]} for n in (3, 4)]


async def test_a_room_on_two_replicas_has_two(
    new_replica: Replicas, clients: Clients, http: aiohttp.ClientSession, org: str
) -> None:
    pair, who = [new_replica(**ON) for _ in range(2)], new_id()
    for replica in pair:
        await clients(replica.url, mint(who, org)).connect()
    for replica in pair:
        answer = await Caller(http, replica.url).get(f"/v1/rooms/{user(who)}", organization_id=org)
        assert (answer.body["members"], answer.body["replicas"]) == (1, 2)


async def test_a_room_that_nobody_ever_used_is_empty_and_asking_leaves_nothing_behind(
    api: Caller, shared_redis_server: EmbeddedRedis, org: str
) -> None:
    room = campaign(new_id())
    answer = await api.get(f"/v1/rooms/{room}", organization_id=org, history="10")
    assert answer.body == {"room": room, "members": 0, "replicas": 0, "offset": None, "kept": 0, "events": []}
    async with redis.asyncio.Redis.from_url(shared_redis_server.url) as client:
        assert await client.keys(f"rt:{{{org}}}:*") == []


async def test_an_offset_is_where_a_join_can_begin(api: Caller, connect: Connect, org: str) -> None:
    room = new_id()
    body = {"organization_id": org, "event": "x:y", "data": 1, "to": [conversation(room)]}
    await api.post("/v1/events", body)
    now = (await api.get(f"/v1/rooms/{conversation(room)}", organization_id=org)).body
    assert isinstance(parse_offset(now["offset"]), Offset)
    later = (await api.post("/v1/events", body)).body["offset"]
    client = await connect()
    joined = await client.join(room, since=now["offset"])
    assert [event["offset"] for event in joined["events"]] == [later]


@pytest.mark.parametrize(
    ("room", "query", "field"),
    [
        ("conversation:1", {}, "room"),
        ("*", {}, "room"),
        ("a%2Fb", {}, "room"),
        ("%00", {}, "room"),
        ("conversation:" + new_id(), {"organization_id": "1"}, "organization_id"),
        ("conversation:" + new_id(), {"history": "-1"}, "history"),
        ("conversation:" + new_id(), {"history": "many"}, "history"),
        ("conversation:" + new_id(), {"room": "x"}, None),
    ],
    ids=map(str, range(99)),
)
async def test_a_room_that_is_none_is_said(
    api: Caller, org: str, room: str, query: dict[str, str], field: str | None
) -> None:
    answer = await api.get(f"/v1/rooms/{room}", **({"organization_id": org} | query))
    if field is None:
        assert answer.body["room"] == room  # what the path says counts
    else:
        assert (answer.status, [error["field"] for error in answer.body["errors"]]) == (400, [field])
