"""What a running gateway sends, and takes, is what the contract's types say."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from gateway.dev.embedded_redis import EmbeddedRedis
from gateway.sockets.events import Events
from publisher import AsyncPublisher, Options, campaign, conversation, user
from publisher.events import COMMANDS, CONNECT_CODES, EVENTS, Payload, examples
from publisher.events.codes import ANY_EVENT
from publisher.events.joining import Nothing
from publisher.events.session import ConnectAccepted, ConnectAuth, ConnectError, Failed
from tests.support.client import Clients, RawClient, Refused
from tests.support.inbox import Received
from tests.support.pytake import incoming_message
from tests.support.replica import Replica, Replicas
from tests.support.tokens import mint, new_id

ORG, ALICE, BRUNO = new_id(), new_id(), new_id()
CONVERSATION, CAMPAIGN = new_id(), new_id()
CROWD = 24
"""Users who come at once: more than are told of one by one."""


def assert_is(model: type[Payload], data: Any, *, whole: bool = False) -> None:
    """Fail unless data are of a type; `whole`: and have no keys that it does not name."""
    msgspec.json.decode(json.dumps(data), type=model)
    if whole:
        assert set(data) <= set(model.__struct_fields__), f"{model.__name__} does not name all of {sorted(data)}"


def assert_event(received: Received) -> None:
    event = EVENTS[received.name]
    assert_is(event.payload, received.data, whole=event.by == "gateway")
    carries_offset = event.delivery == "recoverable" or event.name == "connected"
    assert (received.offset is not None) == carries_offset, received
    for past in received.data.get("events", ()):
        assert_is(EVENTS[past["event"]].payload, past["data"])


@dataclass
class Office:
    """Two agents, each with one socket, at one replica."""

    replica: Replica
    events: AsyncPublisher
    alice: RawClient
    bruno: RawClient


@pytest_asyncio.fixture
async def office(redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients) -> AsyncIterator[Office]:
    replica = replicas(redis_server.url)
    # Her token ends within the minute of which she is told.
    alice = await clients(replica.url, mint(ALICE, ORG, ttl_s=50), statuses=True).connect()
    bruno = await clients(replica.url, mint(BRUNO, ORG)).connect()
    async with AsyncPublisher.from_url(redis_server.url, options=Options(validate="raise")) as events:
        yield Office(replica, events, alice, bruno)


async def test_every_event_of_the_contract_is_sent_and_is_as_its_type_says(
    office: Office, clients: Clients
) -> None:
    alice, bruno = office.alice, office.bruno
    # Without acknowledgements, so that every answer is an event.
    alice.emit("join_conversation", {"conversation_id": CONVERSATION})
    alice.emit("join_room", {"room": campaign(CAMPAIGN)})
    await alice.wait_for("joined_room")
    await bruno.join(CONVERSATION)
    bruno.emit("typing_start", {"conversation_id": CONVERSATION})
    await alice.wait_for("user_typing")
    await _publish_all(office.events)
    bruno.emit("join_conversation", {"conversation_id": CONVERSATION, "history": 10})
    await bruno.wait_for("joined_conversation")
    alice.emit("ping")
    alice.emit("typing_start", {"conversation_id": "none"})
    coming = [clients(office.replica.url, mint(new_id(), ORG)).connect() for _ in range(CROWD)]
    crowd = await asyncio.gather(*coming)
    await alice.wait_for("user:statuses")
    alice.emit("leave_conversation", {"conversation_id": CONVERSATION})
    alice.emit("leave_room", {"room": campaign(CAMPAIGN)})
    for name in EVENTS:
        await alice.wait_for(name)
    for received in [received for client in (alice, bruno, *crowd) for received in client.events]:
        assert_event(received)


async def _publish_all(events: AsyncPublisher) -> None:
    message = incoming_message(CONVERSATION)
    await events.message_new(ORG, message, inbox=True, unread=1)
    await events.message_status(ORG, CONVERSATION, message["id"], "read")
    await events.unread_update(ORG, ALICE, CONVERSATION, 0)
    await events.notification_new(ORG, ALICE, examples.NOTIFICATION)
    await events.campaign_progress(
        ORG, CAMPAIGN, {"campaign_name": "n", "status": "s", "progress": 1, "stats": {}}
    )


async def test_coming_back_is_greeted_as_the_contract_says(office: Office, redis_server: EmbeddedRedis) -> None:
    alice = office.alice
    alice.drop()
    await alice.reconnect()
    await alice.connect(pid="unknown-session", offset=alice.offset)
    greetings = [received.data for received in alice.named("connected")]
    assert [(data["recovered"], data.get("reason")) for data in greetings] == [
        (False, None),
        (True, None),
        (False, "unknown"),
    ]
    for received in alice.named("connected"):
        assert_event(received)


async def test_connecting_is_as_the_contract_says(office: Office, clients: Clients) -> None:
    assert_is(ConnectAccepted, json.loads(office.alice.packets[0][1:]), whole=True)
    again = {"token": "t", "pid": office.alice.pid, "offset": office.alice.offset, "statuses": True}
    assert_is(ConnectAuth, again, whole=True)
    for token in (None, "nonsense", mint(ALICE, ORG, ttl_s=-60), mint(ALICE, without=["organization_id"])):
        with pytest.raises(Refused) as caught:
            await clients(office.replica.url, token).connect()
        assert_is(ConnectError, {"message": str(caught.value), "data": caught.value.data}, whole=True)
        assert caught.value.code in CONNECT_CODES


# -- commands


def asked(name: str) -> Any:
    """Return a payload that the gateway takes."""
    if name == "auth:refresh":
        return {"token": mint(ALICE, ORG)}
    example = COMMANDS[name].example
    return msgspec.to_builtins(example) if not isinstance(example, Nothing) else None


async def test_every_command_is_answered_as_its_type_says(office: Office) -> None:
    await office.alice.join(CONVERSATION, history=5)
    for name, command in COMMANDS.items():
        answer = await office.alice.call(name, *filter(None, [asked(name)]))
        if not answer["ok"]:
            assert (name, answer["error"]["code"]) in {
                ("typing_start", "not_joined"),
                ("typing_stop", "not_joined"),
            }
            continue
        del answer["ok"]
        assert_is(command.answer, answer, whole=True)
    viewers = await office.alice.call("presence", {"conversation_id": CONVERSATION})
    assert set(viewers) == {"ok", "conversation_id", "user_ids", "sockets", "typing"}
    assert (await office.alice.call("typing_start", {"conversation_id": CONVERSATION})) == {"ok": True}


FIELDS = [(command.name, field) for command in COMMANDS.values() for field in command.payload.__struct_fields__]


async def test_what_the_types_refuse_the_gateway_refuses_too(office: Office) -> None:
    for name, field in FIELDS:
        payload = asked(name) | {field: {"not": "this"}}
        with pytest.raises(msgspec.ValidationError):
            assert_is(COMMANDS[name].payload, payload)
        answer = await office.alice.call(name, payload)
        assert_is(Failed, answer, whole=True)
        code = answer["error"]["code"]
        assert not answer["ok"]
        assert code == ("token_invalid" if name == "auth:refresh" else "bad_request")
        assert code in (*COMMANDS[name].codes, *ANY_EVENT), name


async def test_what_is_not_in_the_contract_is_an_unknown_event(office: Office) -> None:
    answer = await office.alice.call("join_conversations", {})
    assert_is(Failed, answer, whole=True)
    assert answer["error"]["code"] == "unknown_event"


def test_the_gateway_handles_the_commands_of_the_contract_and_no_others() -> None:
    handlers = re.findall(r'"([\w:]+)": Handler\([^,)]+(?:, "(\w+)")?\)', inspect.getsource(Events.__init__))
    assert dict(handlers) == {command.name: command.event or "" for command in COMMANDS.values()}


async def test_a_refusal_that_names_a_limit_says_so_as_its_type_does(
    redis_server: EmbeddedRedis, replicas: Replicas, clients: Clients
) -> None:
    replica = replicas(redis_server.url, GATEWAY_EVENTS_PER_S="1", GATEWAY_EVENTS_BURST="2")
    alice = await clients(replica.url, mint(ALICE, ORG)).connect()
    for _ in range(4):
        alice.emit("ping")
    received = await alice.wait_for("error")
    assert_event(received)
    assert (received.data["limit"], received.data["event"]) == ("events_per_s", "ping")


async def test_events_go_to_the_rooms_that_the_contract_names(office: Office) -> None:
    """Publishing by the verbs, which choose the room, reaches who is in such a room, and only them."""
    await office.alice.join(CONVERSATION)
    await office.alice.call("join_room", {"room": campaign(CAMPAIGN)})
    await _publish_all(office.events)
    await office.events.emit(ORG, "end", {}, to=[user(ALICE), user(BRUNO), conversation(CONVERSATION)])
    await office.alice.wait_for("end")
    await office.bruno.wait_for("end")
    published = {name for name, event in EVENTS.items() if event.by == "backend"}
    assert {received.name for received in office.alice.events} >= published
    assert {received.name for received in office.bruno.events} & published == {
        name for name in published if "organization" in EVENTS[name].rooms
    }
