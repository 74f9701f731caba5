"""What an inbox is told with a new message: whom, how much of it, and that the two are one."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from publisher import Room, conversation, organization, user
from publisher.envelope import Envelope
from publisher.preview import MAX_PREVIEW, preview
from tests.publisher.bus import KNOWN, PUBLISHED, Bus, Recorder
from tests.support.pytake import incoming_message, sent_message
from tests.support.tokens import new_id

ORG, CID = new_id(), new_id()
events = Recorder()


def updated(envelope: Envelope) -> dict[str, Any]:
    """What is said of the conversation."""
    assert envelope.also is not None
    event, data = json.loads(envelope.also.args[1])
    assert event == "conversation:updated"
    found: dict[str, Any] = data
    return found


def told(envelope: Envelope) -> list[str]:
    return envelope.also.args[4].split() if envelope.also else []


# -- whom, and what


def test_an_inbox_is_told_what_it_shows_and_no_more() -> None:
    message = incoming_message(CID, "Olá!") | {"created_at": datetime(2026, 1, 2, 3, 4, tzinfo=UTC)}
    assert updated(events.message_new(ORG, message, inbox=True, unread=3)) == {
        "conversation_id": CID,
        "last_message_at": "2026-01-02T03:04:00Z",
        "preview": "Olá!",
        "message_type": "text",
        "unread": 3,
    }


def test_without_a_count_nothing_is_said_of_unread_messages() -> None:
    assert "unread" not in updated(events.message_new(ORG, sent_message(CID), inbox=True))


def test_a_message_that_does_not_say_when_is_of_now() -> None:
    at = updated(events.message_new(ORG, {"conversation_id": CID}, inbox=True))["last_message_at"]
    assert datetime.fromisoformat(at).tzinfo is not None


@pytest.mark.parametrize(
    ("inbox", "rooms"),
    [
        (False, []),
        (True, [organization(ORG)]),
        ([], []),
        (["ana", "rui"], [user("ana"), user("rui")]),
        (iter(["ana"]), [user("ana")]),
        ("ana", [user("ana")]),
        (["ana", "ana"], [user("ana")]),
    ],
    ids=map(str, range(99)),
)
def test_an_inbox_is_the_organizations_or_that_of_some_users(inbox: Any, rooms: list[Room]) -> None:
    assert told(events.message_new(ORG, incoming_message(CID), inbox=inbox)) == rooms


def test_the_senders_own_socket_is_told_as_well() -> None:
    envelope = events.message_new(ORG, sent_message(CID), skip_sid="sid-1", inbox=True)
    assert envelope.also is not None
    assert (envelope.args[3], envelope.also.args[3]) == ("sid-1", "-")


# -- the preview


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ({"text": "Bom dia!"}, "Bom dia!"),
        ({"text": "one\n\n two\t three "}, "one two three"),
        ({"image": {"id": "1", "mime_type": "image/jpeg", "caption": "Veja"}}, "Veja"),
        ({"url": "https://x/y.jpg", "caption": "Veja"}, "Veja"),
        ({"video": {"url": "https://x/y.mp4"}, "caption": "Veja"}, "Veja"),
        ({"type": "buttons", "body": "Qual?", "buttons": [{"title": "A"}]}, "Qual?"),
        ({"type": "button_reply", "button_reply": {"id": "7", "title": "Sim"}}, "Sim"),
        ({"interactive": {"type": "button", "body": {"text": "Qual?"}}}, "Qual?"),
        ({"document": {"filename": "nota.pdf"}}, "nota.pdf"),
        ({"name": "hello_world", "language": "pt_BR", "components": []}, ""),
        ({"location": {"latitude": 1.5, "longitude": 2.5}}, ""),
        ({"text": " ", "caption": "Veja"}, "Veja"),
        ({"a": {"b": {"c": {"text": "too deep"}}}}, ""),
        ("just text", "just text"),
        ({}, ""),
        (None, ""),
        (7, ""),
    ],
    ids=repr,
)
def test_a_preview_is_the_text_of_a_message_whatever_its_kind(content: Any, shown: str) -> None:
    assert preview(content) == shown


def test_a_preview_is_short_however_long_the_message() -> None:
    assert preview("x" * MAX_PREVIEW) == "x" * MAX_PREVIEW
    long = preview({"text": "word " * 100_000})
    assert len(long) <= MAX_PREVIEW
    assert long.endswith("word…")


# -- both or neither, once, in order


def test_both_go_out_in_one_call_the_message_first(bus: Bus) -> None:
    message = incoming_message(CID)
    listener = bus.listen(conversation(CID), organization(bus.org))
    found = bus.run_all(events.message_new(bus.org, message, inbox=True))
    new, also = listener.heard()
    assert (new.body[:14], also.body[:23]) == (b'["message:new"', b'["conversation:updated"')
    assert [status for status, _ in found] == [PUBLISHED, PUBLISHED]
    assert [offset.seq for _, offset in found] == [new.seq, also.seq]
    assert new.seq < also.seq


def test_a_retry_doubles_neither(bus: Bus) -> None:
    message = incoming_message(CID)
    first = bus.run_all(events.message_new(bus.org, message, inbox=True))
    again = bus.run_all(events.message_new(bus.org, message, inbox=True))
    assert again == [(KNOWN, offset) for _, offset in first]
    assert [len(bus.log(room)) for room in (conversation(CID), organization(bus.org))] == [1, 1]


def test_each_has_a_key_of_its_own(bus: Bus) -> None:
    message = incoming_message(CID)
    bus.run_all(events.message_new(bus.org, message))
    found = bus.run_all(events.message_new(bus.org, message, inbox=True))
    assert [status for status, _ in found] == [KNOWN, PUBLISHED]


def test_a_message_without_an_id_is_told_each_time(bus: Bus) -> None:
    for _ in range(2):
        bus.run_all(events.message_new(bus.org, {"conversation_id": CID}, inbox=True))
    assert len(bus.log(organization(bus.org))) == 2
