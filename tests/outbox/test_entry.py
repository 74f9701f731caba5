"""What a row keeps of an event, and that the same event comes out again; no database involved."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from publisher import InvalidEvent, Options, conversation, organization, user
from publisher.envelope import Envelope
from publisher.outbox.entry import Entry, entries_of, envelope_of
from publisher.verbs import Verbs
from tests.publisher.bus import Recorder

ORG, CONVERSATION, MESSAGE, USER, CAMPAIGN = (str(UUID(int=number)) for number in range(1, 6))


verbs = Recorder()
AT = datetime(2026, 1, 1, tzinfo=UTC)
MESSAGE_DATA = {"id": UUID(MESSAGE), "conversation_id": CONVERSATION, "content": {"text": "Olá \0 \u2028 🎉"}}
ENVELOPES = {
    "message_new": lambda: verbs.message_new(ORG, MESSAGE_DATA, skip_sid="aB-_9"),
    "message_status": lambda: verbs.message_status(ORG, CONVERSATION, MESSAGE, "read", AT),
    "unread_update": lambda: verbs.unread_update(ORG, USER, CONVERSATION, 3),
    "notification_new": lambda: verbs.notification_new(ORG, "auth0|17", {"notification_id": 1}),
    "campaign_progress": lambda: verbs.campaign_progress(ORG, CAMPAIGN, {"timestamp": AT}),
    "emit": lambda: verbs.emit(ORG, "a:b", None, to=[conversation(CONVERSATION), organization(ORG), user(USER)]),
    "message_new inbox": lambda: verbs.message_new(ORG, MESSAGE_DATA | {"created_at": AT}, inbox=True, unread=3),
    "emit conflate": lambda: verbs.emit(ORG, "a:b", None, to=user(USER), conflate="k", skip_sid="aB-_9"),
    "disconnect_user": lambda: verbs.disconnect_user(ORG, USER),
    "disconnect_user token_id": lambda: verbs.disconnect_user(ORG, USER, token_id="before 7"),
    "disconnect_user issued_before": lambda: verbs.disconnect_user(ORG, USER, issued_before=AT),
    "leave_room": lambda: verbs.leave_room(ORG, USER, conversation(CONVERSATION)),
    "leave_room block_s": lambda: verbs.leave_room(ORG, USER, conversation(CONVERSATION), block_s=90.5),
}
CONTROL_EPOCH = 2


def entry_of(envelope: Envelope) -> Entry:
    (entry,) = entries_of(envelope)
    return entry


def facts(envelope: Envelope) -> tuple[str, str, list[str], list[Any]]:
    """Return all of an envelope but the epoch that it offers, which is another each time."""
    is_control = envelope.script == "control"
    args = [arg for i, arg in enumerate(envelope.args) if not (is_control and i == CONTROL_EPOCH)]
    return envelope.script, envelope.tenant, envelope.keys, [*args, *envelope.head[:1], *envelope.head[2:]]


@pytest.mark.parametrize("verb", ENVELOPES)
def test_every_verb_comes_out_as_it_went_in(verb: str) -> None:
    envelope = ENVELOPES[verb]()
    events = [envelope, envelope.also] if envelope.also else [envelope]
    found = [envelope_of(entry, Options()) for entry in entries_of(envelope)]
    assert [facts(each) for each in found] == [facts(each) for each in events]


def test_every_verb_is_tried_here() -> None:
    public = {name for name in vars(Verbs) if not name.startswith("_")}
    assert public == {verb.partition(" ")[0] for verb in ENVELOPES}


def test_an_event_without_a_key_keeps_the_one_that_was_drawn() -> None:
    entry = entry_of(verbs.unread_update(ORG, USER, CONVERSATION, 3))
    first, second = (envelope_of(entry, Options()).keys[-1] for _ in range(2))
    assert first == second
    assert entry.key is not None
    assert first.endswith(entry.key)


def test_the_relays_settings_count_not_the_writers() -> None:
    envelope = envelope_of(entry_of(ENVELOPES["emit"]()), Options(history_size=7, sharded=True))
    assert {7, "SPUBLISH"} <= set(envelope.head)


def test_a_relay_with_a_lower_limit_takes_what_the_writer_let_pass() -> None:
    entry = entry_of(verbs.emit(ORG, "big", "x" * 5000, to=organization(ORG)))
    assert len(envelope_of(entry, Options(max_payload_bytes=10)).args[1]) > 5000


def test_a_relay_that_validates_takes_what_the_writer_let_pass() -> None:
    entry = entry_of(verbs.emit(ORG, "message:new", {"id": "none"}, to=organization(ORG)))
    assert b'"none"' in envelope_of(entry, Options(validate="raise")).args[1]


def test_an_ephemeral_event_has_no_place_in_an_outbox() -> None:
    with pytest.raises(InvalidEvent, match="publish it directly"):
        entry_of(verbs.emit(ORG, "typing", {}, to=organization(ORG), ephemeral=True))


@pytest.mark.parametrize(
    "entry",
    [
        Entry(ORG, "riddle", b"{}", "x"),
        Entry(ORG, "event", b"{}", organization(ORG), key="k"),
        Entry(ORG, "event", b"\xff", organization(ORG), key="k"),
        Entry(ORG, "event", b'["a:b",{}]', "nowhere", key="k"),
        Entry("nobody", "control", b"{}", f"user:{uuid4()}"),
    ],
    ids=["kind", "body", "bytes", "room", "tenant"],
)
def test_what_no_event_can_be_made_of_is_said_to_be_so(entry: Entry) -> None:
    with pytest.raises(InvalidEvent):
        envelope_of(entry, Options())
