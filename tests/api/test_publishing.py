"""`POST /api/v1/events` and the verbs beside it: what a publisher does, over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, conversation, user
from tests.api.conftest import Caller, Connect
from tests.support.client import Clients
from tests.support.replica import Replica
from tests.support.tokens import mint, new_id
from tests.support.waiting import PATIENCE_S, until


def event(org: str, room: str, **more: Any) -> dict[str, Any]:
    return {"organization_id": org, "event": "x:y", "data": {"n": 1}, "to": [conversation(room)], **more}


async def test_an_event_reaches_its_room_with_the_offset_of_the_receipt(
    api: Caller, connect: Connect, org: str, talk: str
) -> None:
    client = await connect(join=talk)
    answer = await api.post("/v1/events", event(org, talk))
    assert (answer.status, set(answer.body)) == (200, {"offset", "duplicate", "queued"})
    heard = await client.wait_for("x:y")
    assert (heard.data, heard.offset) == ({"n": 1}, answer.body["offset"])


async def test_a_socket_that_is_in_two_of_the_rooms_gets_it_once_and_the_senders_own_never(
    api: Caller, connect: Connect, org: str, talk: str
) -> None:
    who = new_id()
    own, other = [await connect(who, join=talk) for _ in range(2)]
    to = [conversation(talk), user(who)]
    await api.post("/v1/events", event(org, talk, to=to, skip_sid=own.sid))
    await api.post("/v1/events", event(org, talk, event="after:it"))
    for client in (own, other):
        await client.wait_for("after:it")
    assert [len(client.named("x:y")) for client in (own, other)] == [0, 1]


async def test_the_payload_arrives_as_it_was_written(api: Caller, connect: Connect, org: str, talk: str) -> None:
    """Not read and written again: a float keeps its digits, an object its order and its spaces."""
    client = await connect(join=talk)
    data = '{"b": 1.10, "a" : 12345678901234567890123, "é": "\\u00e9", "z": 1e3}'
    body = json.dumps(event(org, talk)).replace('{"n": 1}', data)
    assert (await api.post("/v1/events", body.encode())).status == 200
    await client.wait_for("x:y")
    assert any(data in packet for packet in client.packets)


@pytest.mark.parametrize("data", [None, 0, "text", [], {}, True])
async def test_any_json_is_data(api: Caller, connect: Connect, org: str, talk: str, data: Any) -> None:
    client = await connect(join=talk)
    assert (await api.post("/v1/events", event(org, talk, data=data))).status == 200
    assert (await client.wait_for("x:y")).data == data


async def test_an_ephemeral_event_is_not_kept(api: Caller, connect: Connect, org: str, talk: str) -> None:
    client = await connect(join=talk)
    assert (await api.post("/v1/events", event(org, talk, ephemeral=True))).status == 200
    assert (await client.wait_for("x:y")).offset is None
    assert (await client.join(talk, history=10))["events"] == []


# -- the same keys as the publisher's


async def test_a_key_publishes_once_whoever_uses_it(
    api: Caller, shared_redis_server: EmbeddedRedis, org: str
) -> None:
    room = new_id()
    async with AsyncPublisher.from_url(shared_redis_server.url, timeout_s=PATIENCE_S) as events:
        first = await events.emit(org, "x:y", {}, to=conversation(room), key="k")
        again = await api.post("/v1/events", event(org, room, key="k"))
        assert again.body == {"offset": first.offset, "duplicate": True, "queued": False}
        new = await api.post("/v1/events", event(org, room, key="another"))
        assert not new.body["duplicate"]
        assert (await events.emit(org, "x:y", {}, to=conversation(room), key="another")).duplicate


async def test_an_older_version_is_dropped(api: Caller, org: str) -> None:
    room = new_id()
    newer = await api.post("/v1/events", event(org, room, key="k", version=3))
    older = await api.post("/v1/events", event(org, room, key="k", version=2))
    assert older.body == {"offset": newer.body["offset"], "duplicate": True, "queued": False}
    assert not (await api.post("/v1/events", event(org, room, key="k", version=4))).body["duplicate"]


async def test_a_status_never_goes_back_whichever_way_it_comes(
    api: Caller, shared_redis_server: EmbeddedRedis, org: str
) -> None:
    room, message = new_id(), new_id()
    status = {"organization_id": org, "conversation_id": room, "message_id": message}
    async with AsyncPublisher.from_url(shared_redis_server.url, timeout_s=PATIENCE_S) as events:
        await events.message_status(org, room, message, "read")
    assert (await api.post("/v1/message_status", status | {"status": "delivered"})).body["duplicate"]
    assert not (await api.post("/v1/message_status", status | {"status": "failed"})).body["duplicate"]


# -- several at once


async def test_several_events_are_published_in_their_order(
    api: Caller, connect: Connect, org: str, talk: str
) -> None:
    client = await connect(join=talk)
    batch = [event(org, talk, data=n, key=f"k{n}") for n in range(100)]
    answer = await api.post("/v1/events", batch)
    offsets = [receipt["offset"] for receipt in answer.body]
    assert (answer.status, sorted(offsets)) == (200, offsets)
    await client.wait_for("x:y", count=100)
    assert [(heard.data, heard.offset) for heard in client.named("x:y")] == list(enumerate(offsets))
    again = await api.post("/v1/events", batch)
    assert [receipt["offset"] for receipt in again.body if receipt["duplicate"]] == offsets


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"to": ["nowhere"]}, "1.to.0"),
        ({"version": 1}, "1"),
        ({"event": "connect"}, "1"),
        ({"extra": 1}, "1.extra"),
    ],
)
async def test_nothing_of_a_batch_is_published_when_one_is_no_good(
    api: Caller, org: str, bad: dict[str, Any], field: str
) -> None:
    room = new_id()
    answer = await api.post("/v1/events", [event(org, room), event(org, room, **bad), event(org, room)])
    assert answer.status == 400
    assert [error["field"] for error in answer.body["errors"]] == [field]
    now = await api.get(f"/v1/rooms/{conversation(room)}", organization_id=org)
    assert now.body["kept"] == 0


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_has_a_size(api: Caller, org: str, count: int) -> None:
    answer = await api.post("/v1/events", [{}] * count)
    assert (answer.status, answer.body["message"]) == (400, f"send an array of 1 to 100 objects, not {count}")


# -- the other verbs


def _verbs(org: str, who: str, room: str) -> dict[str, tuple[str, dict[str, Any], Any]]:
    """Return each verb with what a browser is to get of it."""
    message = {"id": new_id(), "conversation_id": room, "content": {"text": "Olá"}}
    status = {"conversation_id": room, "message_id": message["id"], "status": "read"}
    status["timestamp"] = "2026-01-01T00:00:00Z"
    campaign = new_id()
    return {
        "message_new": ("message:new", {"message": message}, message),
        "message_status": ("message:status", status, status),
        "unread_update": (
            "conversation:unread_update",
            {"user_id": who, "conversation_id": room, "unread_count": 3},
            {"conversation_id": room, "unread_count": 3},
        ),
        "notification_new": (
            "notification:new",
            {"user_id": who, "notification": {"notification_id": "n1", "type": "x"}},
            {"notification_id": "n1", "type": "x"},
        ),
        "campaign_progress": (
            "campaign:progress",
            {"campaign_id": campaign, "progress": {"progress": 40, "timestamp": "now"}},
            {"campaign_id": campaign, "progress": 40, "timestamp": "now"},
        ),
    }


@pytest.mark.parametrize("verb", _verbs("", "", ""))
async def test_a_verb_publishes_what_the_publishers_does(
    api: Caller, connect: Connect, org: str, talk: str, verb: str
) -> None:
    who = new_id()
    name, body, expected = _verbs(org, who, talk)[verb]
    client = await connect(who, join=talk)
    if "campaign_id" in body:
        assert (await client.call("join_room", {"room": f"campaign:{body['campaign_id']}"}))["ok"]
    answer = await api.post(f"/v1/{verb}", {"organization_id": org, **body})
    assert answer.status == 200, answer.body
    heard = await client.wait_for(name)
    assert (heard.data, heard.offset) == (expected, answer.body["offset"])


@pytest.mark.parametrize("everyone", [True, False])
async def test_an_inbox_is_told_of_a_message(api: Caller, connect: Connect, org: str, everyone: bool) -> None:
    alice, bruno, room = new_id(), new_id(), new_id()
    told, other = [await connect(who) for who in (alice, bruno)]
    message = {"id": new_id(), "conversation_id": room, "content": {"text": "Olá"}}
    body = {"organization_id": org, "message": message, "inbox": True if everyone else [alice], "unread": 2}
    answer = await api.post("/v1/message_new", body)
    assert (answer.status, answer.body["duplicate"]) == (200, False)
    assert (await told.wait_for("conversation:updated")).data["conversation_id"] == room
    await api.post("/v1/events", event(org, room, to=[f"organization:{org}"], event="after:it"))
    await other.wait_for("after:it")
    assert len(other.named("conversation:updated")) == everyone
    assert (await api.post("/v1/message_new", body)).body["duplicate"]


async def test_disconnect_closes_every_socket_of_a_user(api: Caller, connect: Connect, org: str) -> None:
    who = new_id()
    mine = [await connect(who) for _ in range(2)]
    other = await connect()
    answer = await api.post("/v1/disconnect", {"organization_id": org, "user_id": who})
    assert answer.status == 200
    assert [await client.dropped() for client in mine] == ["io server disconnect"] * 2
    assert other.connected


async def test_disconnect_can_void_tokens(api: Caller, connect: Connect, org: str) -> None:
    who = new_id()
    bad, good = [await connect(who, jti=jti) for jti in ("lost", "kept")]
    body = {"organization_id": org, "user_id": who, "token_id": "lost"}
    assert (await api.post("/v1/disconnect", body)).status == 200
    await bad.dropped()
    assert good.connected
    late = {"organization_id": org, "user_id": who, "issued_before": "2999-01-01T00:00:00+00:00"}
    assert (await api.post("/v1/disconnect", late)).status == 200
    await good.dropped()
    naive = await api.post("/v1/disconnect", late | {"issued_before": "2999-01-01T00:00:00"})
    assert (naive.status, naive.body["errors"][0]["field"]) == (400, "issued_before")


async def test_leave_takes_a_room_away(api: Caller, connect: Connect, org: str, talk: str) -> None:
    who = new_id()
    client = await connect(who, join=talk)
    body = {"organization_id": org, "user_id": who, "room": conversation(talk)}
    assert (await api.post("/v1/leave", body)).status == 200
    assert (await client.wait_for("left_conversation")).data == {"conversation_id": talk}
    await api.post("/v1/events", event(org, talk))
    await client.call("ping")
    assert not client.named("x:y")


async def test_leave_holds_a_user_off_for_a_while(api: Caller, connect: Connect, org: str) -> None:
    who, room = new_id(), new_id()
    client = await connect(who)
    body = {"organization_id": org, "user_id": who, "room": conversation(room)}
    for block_s, code in ((60, "forbidden"), (0, None), (1.5e1, "forbidden")):
        assert (await api.post("/v1/leave", body | {"block_s": block_s})).status == 200
        answer = await client.call("join_conversation", {"conversation_id": room})
        assert answer.get("error", {}).get("code") == code
    for wrong in (-1, "60", None, 31 * 86_400, True):
        refusal = await api.post("/v1/leave", body | {"block_s": wrong})
        assert (refusal.status, refusal.body["errors"][0]["field"]) == (400, "block_s")


# -- a key may act for every organization, each request for one


async def test_an_event_stays_in_its_organization(
    api: Caller, replica: Replica, clients: Clients, org: str
) -> None:
    room, elsewhere = new_id(), new_id()
    client, stranger = [await clients(replica.url, mint(None, tenant)).connect() for tenant in (org, elsewhere)]
    for one in (client, stranger):
        await one.join(room)
    await api.post("/v1/events", event(org, room))
    await api.post("/v1/events", event(elsewhere, room, event="for:you"))
    await asyncio.gather(client.wait_for("x:y"), stranger.wait_for("for:you"))
    assert not stranger.named("x:y")
    wrong = await api.post("/v1/events", event(org, room, to=[f"organization:{elsewhere}"]))
    assert (wrong.status, wrong.body["code"]) == (400, "bad_request")


async def test_requests_are_counted(api: Caller, replica: Replica, org: str) -> None:
    await api.post("/v1/events", event(org, new_id()))
    await until(lambda: 'gateway_api_requests_total{status="200"}' in replica.get("/metrics")[1])
