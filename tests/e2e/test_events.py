"""What a page may ask, with and without an acknowledgement, and how it is told that it may not."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from publisher import parse_offset
from tests.support.browsers import TRANSPORTS, VERSIONS, Browser, Browsers, Version
from tests.support.publisher_process import PublisherProcess
from tests.support.pytake import incoming_message
from tests.support.replica import Replica
from tests.support.tenant import Tenant
from tests.support.tokens import new_id

MATRIX = [(version, transport) for version in VERSIONS for transport in TRANSPORTS]
Pages = tuple[Browser, Browser, Browser]
CAMPAIGN = f"campaign:{new_id()}"


@pytest.fixture(params=MATRIX, ids=["-".join(pair) for pair in MATRIX])
def pages(request: pytest.FixtureRequest, browsers: Browsers, replica: Replica, tenant: Tenant) -> Pages:
    """Two pages of Alice's and one of Bruno's, over every client and transport."""
    version, transport = request.param
    chosen = {"version": version, "transports": TRANSPORTS[transport]}
    users = (tenant.alice, tenant.alice, tenant.bruno)
    alice, other, bruno = (browsers(replica.url, tenant.token(who), **chosen) for who in users)
    for page in (alice, other, bruno):
        page.connected()
    return alice, other, bruno


@pytest.fixture
def page(browsers: Browsers, replica: Replica, tenant: Tenant) -> Browser:
    """A page of Alice's."""
    page = browsers(replica.url, tenant.token())
    page.connected()
    return page


def test_typing_is_seen_by_the_others_and_in_no_tab_of_the_typist(pages: Pages, tenant: Tenant) -> None:
    for page in pages:
        page.join(tenant.conversation)
    alice, other, bruno = pages
    alice.emit("typing_start", {"conversation_id": tenant.conversation})
    assert alice.call("typing_stop", {"conversation_id": tenant.conversation}) == {"ok": True}
    bruno.emit("typing_start", {"conversation_id": tenant.conversation})

    def typing(user: str, now: bool) -> dict[str, Any]:
        return {"conversation_id": tenant.conversation, "user_id": user, "typing": now}

    by_alice = [typing(tenant.alice, True), typing(tenant.alice, False)]
    by_bruno = [typing(tenant.bruno, True)]
    for page in (alice, other):
        page.wait_for("user_typing")
        assert page.events("user_typing") == by_bruno
    bruno.wait_for("user_typing", times=2)
    assert bruno.call("ping", {})["ok"]
    assert bruno.events("user_typing") == by_alice


def test_every_event_answers_by_its_acknowledgement(pages: Pages, tenant: Tenant) -> None:
    page, conversation = pages[0], {"conversation_id": tenant.conversation}
    joined = page.call("join_conversation", conversation)
    assert joined["ok"] is True
    assert joined["conversation_id"] == tenant.conversation
    assert joined["message"]
    assert (joined["events"], joined["complete"]) == ([], True)
    assert joined["offset"].count("-") == 1
    assert page.call("typing_start", conversation) == {"ok": True}
    assert page.call("typing_stop", conversation) == {"ok": True}
    room = page.call("join_room", {"room": CAMPAIGN})
    assert (room["ok"], room["room"], room["complete"]) == (True, CAMPAIGN, True)
    assert page.call("leave_room", {"room": CAMPAIGN}) == {"ok": True, "room": CAMPAIGN}
    assert page.call("leave_conversation", conversation) == {"ok": True, **conversation}
    pong = page.call("ping", {})
    assert pong["ok"] is True
    assert datetime.fromisoformat(pong["timestamp"]).tzinfo
    told = {report["event"] for report in page.seen("event")}
    assert told <= {"connected", "conversation:viewers", "user:status"}


def test_every_event_answers_by_an_event_where_there_is_no_acknowledgement(pages: Pages, tenant: Tenant) -> None:
    page, conversation = pages[0], {"conversation_id": tenant.conversation}
    page.emit("join_conversation", conversation)
    joined = page.wait_for("joined_conversation")
    assert joined["conversation_id"] == tenant.conversation
    assert (joined["events"], joined["complete"]) == ([], True)
    page.emit("join_room", {"room": CAMPAIGN})
    assert page.wait_for("joined_room")["room"] == CAMPAIGN
    page.emit("leave_room", {"room": CAMPAIGN})
    assert page.wait_for("left_room") == {"room": CAMPAIGN}
    page.emit("leave_conversation", conversation)
    assert page.wait_for("left_conversation") == conversation
    page.emit("ping")
    assert datetime.fromisoformat(page.wait_for("pong")["timestamp"]).tzinfo
    assert not page.events("error")


BAD = {
    "no conversation": ("join_conversation", [], "bad_request"),
    "a conversation that is no UUID": ("join_conversation", [{"conversation_id": "1; DROP"}], "bad_request"),
    "a payload that is no object": ("join_conversation", ["text"], "bad_request"),
    "an offset that is none": ("join_conversation", [{"conversation_id": new_id(), "since": "x"}], "bad_request"),
    "too long a history": ("join_conversation", [{"conversation_id": new_id(), "history": 10**9}], "bad_request"),
    "to leave nothing": ("leave_conversation", [{}], "bad_request"),
    "typing where it is not": ("typing_start", [{"conversation_id": new_id()}], "not_joined"),
    "no room": ("join_room", [{}], "bad_request"),
    "a room without an id": ("join_room", [{"room": "campaign"}], "bad_request"),
    "a user's room": ("join_room", [{"room": f"user:{new_id()}"}], "forbidden"),
    "an organization's room": ("join_room", [{"room": f"organization:{new_id()}"}], "forbidden"),
    "an unknown event": ("message:new", [{"id": new_id()}], "unknown_event"),
}


@pytest.mark.parametrize(("event", "args", "code"), BAD.values(), ids=BAD)
def test_a_failure_is_told_and_closes_nothing(page: Browser, event: str, args: list[Any], code: str) -> None:
    answer = page.call(event, *args)
    assert set(answer) == {"ok", "error"}
    assert answer["ok"] is False
    assert set(answer["error"]) == {"code", "message"}
    assert answer["error"]["code"] == code
    page.emit(event, *args)
    error = page.wait_for("error")
    assert error == {**answer["error"], "event": event}
    assert page.call("ping", {})["ok"]
    assert not page.seen("disconnect")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_failure_without_acknowledgement_is_no_offset(
    browsers: Browsers, replica: Replica, tenant: Tenant, version: Version
) -> None:
    page = browsers(replica.url, tenant.token(), version=version)
    page.connected()
    page.emit("no_such_event")
    assert len(page.wait("event", lambda report: report["event"] == "error")["args"]) == 1


def test_a_page_that_left_sees_no_more(page: Browser, backend: PublisherProcess, tenant: Tenant) -> None:
    page.join(tenant.conversation)
    backend.call("message_new", tenant.id, incoming_message(tenant.conversation, "seen"))
    page.wait_for("message:new")
    assert page.call("leave_conversation", {"conversation_id": tenant.conversation})["ok"]
    backend.call("message_new", tenant.id, incoming_message(tenant.conversation, "unseen"))
    backend.call("unread_update", tenant.id, tenant.alice, tenant.conversation, 1)
    page.wait_for("conversation:unread_update")
    assert [message["content"]["text"] for message in page.events("message:new")] == ["seen"]


def test_joining_twice_gives_each_event_once(page: Browser, backend: PublisherProcess, tenant: Tenant) -> None:
    page.join(tenant.conversation)
    assert page.call("join_conversation", {"conversation_id": tenant.conversation.upper()})["ok"]
    backend.call("message_new", tenant.id, incoming_message(tenant.conversation))
    backend.call("unread_update", tenant.id, tenant.alice, tenant.conversation, 1)
    page.wait_for("conversation:unread_update")
    assert len(page.events("message:new")) == 1


def test_history_and_since_give_what_came_before(page: Browser, backend: PublisherProcess, tenant: Tenant) -> None:
    for n in range(5):
        backend.call("message_new", tenant.id, incoming_message(tenant.conversation, f"{n}"))
    joined = page.call("join_conversation", {"conversation_id": tenant.conversation, "history": 3})
    assert [event["data"]["content"]["text"] for event in joined["events"]] == ["2", "3", "4"]
    since = joined["events"][0]["offset"]
    again = page.call("join_conversation", {"conversation_id": tenant.conversation, "since": since})
    assert [event["data"]["content"]["text"] for event in again["events"]] == ["3", "4"]
    assert again["complete"] is True
    assert parse_offset(again["offset"]).seq >= parse_offset(again["events"][-1]["offset"]).seq
    assert not page.events("message:new")
