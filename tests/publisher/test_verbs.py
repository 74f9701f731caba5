"""The domain events: each one's payload, room, key and version."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from publisher import InvalidEvent, campaign, conversation, user, wire
from publisher.envelope import Envelope
from publisher.verbs import STATUS_VERSION
from tests.publisher.bus import Recorder, body
from tests.support.tokens import new_id

ORG, CID, MID, UID = new_id(), new_id(), new_id(), new_id()


events = Recorder()


class Status(enum.Enum):
    """A backend's own."""

    READ = "read"


def once(envelope: Envelope) -> str:
    return str(envelope.keys[-1].partition("}:once:")[2])


def room(envelope: Envelope) -> str:
    return str(envelope.args[4])


def test_a_new_message_goes_to_its_conversation_once_for_each_id() -> None:
    message = {"id": MID, "conversation_id": CID, "content": {"text": "hi"}, "created_at": datetime.now(UTC)}
    envelope = events.message_new(ORG, message, skip_sid="sid-1")
    assert body(envelope)[0] == "message:new"
    assert body(envelope)[1]["content"] == {"text": "hi"}
    assert room(envelope) == conversation(CID)
    assert once(envelope) == f"message:new:{MID}"
    assert envelope.args[3] == "sid-1"


def test_a_message_without_an_id_is_published_each_time() -> None:
    message = {"conversation_id": CID}
    assert once(events.message_new(ORG, message)) != once(events.message_new(ORG, message))


def test_a_status_names_its_message_and_knows_its_place() -> None:
    envelope = events.message_status(ORG, CID, MID, "delivered")
    event, data = body(envelope)
    assert event == "message:status"
    assert datetime.fromisoformat(data.pop("timestamp")).tzinfo is not None
    assert data == {"message_id": MID, "status": "delivered", "conversation_id": CID}
    assert once(envelope) == f"message:status:{MID}"
    assert envelope.args[5] == STATUS_VERSION["delivered"]


def test_every_later_status_outranks_every_earlier_one() -> None:
    order = ["sent", "delivered", "read", "failed"]
    versions = [events.message_status(ORG, CID, MID, status).args[5] for status in order]
    assert versions == sorted(set(versions))


def test_a_status_may_be_an_enum_and_its_time_the_backends() -> None:
    envelope = events.message_status(ORG, CID, MID, Status.READ, timestamp="2026-01-01T00:00:00Z")  # type: ignore[arg-type]  # an enum of the backend's
    assert body(envelope)[1]["status"] == "read"
    assert body(envelope)[1]["timestamp"] == "2026-01-01T00:00:00Z"


def test_an_unread_count_goes_to_its_user() -> None:
    envelope = events.unread_update(ORG, UID, CID.upper(), 3)
    assert body(envelope) == ["conversation:unread_update", {"conversation_id": CID, "unread_count": 3}]
    assert room(envelope) == f"user:{UID}"


def test_a_notification_goes_to_its_user_once_for_each_id() -> None:
    envelope = events.notification_new(ORG, UID, {"notification_id": MID, "subject": "s"})
    assert body(envelope) == ["notification:new", {"notification_id": MID, "subject": "s"}]
    assert (room(envelope), once(envelope)) == (f"user:{UID}", f"notification:new:{MID}")


def test_campaign_progress_names_its_campaign_whatever_the_backend_says() -> None:
    envelope = events.campaign_progress(ORG, CID, {"progress": 5, "campaign_id": "other"})
    event, data = body(envelope)
    assert (event, room(envelope)) == ("campaign:progress", campaign(CID))
    assert (data["campaign_id"], data["progress"]) == (CID, 5)
    assert data["timestamp"]


def test_campaign_progress_is_conflated_for_each_campaign_if_asked() -> None:
    one, other = (events.campaign_progress(ORG, ident, {}, conflate=True).args[6] for ident in (CID, MID))
    assert (one, other) == (campaign(CID), campaign(MID))


def test_disconnecting_a_user_is_remembered_against_recoveries() -> None:
    envelope = events.disconnect_user(ORG, UID)
    assert json.loads(envelope.args[0]) == {"do": "disconnect"}
    assert envelope.args[3] == "*"
    assert envelope.keys == [wire.meta_key(ORG), wire.revoked_key(ORG, UID), wire.channel(ORG, user(UID))]


def test_taking_a_room_away_is_remembered_too() -> None:
    envelope = events.leave_room(ORG, UID, f"conversation:{CID.upper()}")
    assert json.loads(envelope.args[0]) == {"do": "leave", "room": conversation(CID)}
    assert envelope.args[3] == conversation(CID)
    assert (envelope.keys[3], envelope.args[7]) == (wire.blocked_key(ORG, UID, conversation(CID)), 0)


def test_a_room_that_is_blocked_is_remembered_as_taken_for_as_long() -> None:
    envelope = events.leave_room(ORG, UID, conversation(CID), block_s=7 * 86_400)
    assert envelope.args[7] == envelope.args[4] == 7 * 86_400_000
    assert events.leave_room(ORG, UID, conversation(CID), block_s=0.5).args[4] == 86_400_000


BAD: dict[str, Callable[[], object]] = {
    "a message that is no mapping": lambda: events.message_new(ORG, [("id", 1)]),  # type: ignore[arg-type]
    "a message without a conversation": lambda: events.message_new(ORG, {"id": MID}),
    "a message of no conversation": lambda: events.message_new(ORG, {"conversation_id": "x"}),
    "a message whose id makes no key": lambda: events.message_new(ORG, {"conversation_id": CID, "id": "a b"}),
    "an unknown status": lambda: events.message_status(ORG, CID, MID, "seen"),
    "a status that is no text": lambda: events.message_status(ORG, CID, MID, ["read"]),  # type: ignore[arg-type]
    "a status of no message": lambda: events.message_status(ORG, CID, "7", "read"),
    "an inbox of nobody in particular": lambda: events.message_new(ORG, {"conversation_id": CID}, inbox=7),  # type: ignore[arg-type]
    "an inbox of a user who is none": lambda: events.message_new(ORG, {"conversation_id": CID}, inbox=["a b"]),
    "an inbox of too many": lambda: events.message_new(ORG, {"conversation_id": CID}, inbox=map(str, range(65))),
    "a count of half a message": lambda: events.message_new(ORG, {"conversation_id": CID}, inbox=True, unread=0.5),  # type: ignore[arg-type]
    "a block that is no number": lambda: events.leave_room(ORG, UID, conversation(CID), block_s="1"),  # type: ignore[arg-type]
    "a block of nan": lambda: events.leave_room(ORG, UID, conversation(CID), block_s=float("nan")),
    "a block below nothing": lambda: events.leave_room(ORG, UID, conversation(CID), block_s=-1),
    "a block for good": lambda: events.leave_room(ORG, UID, conversation(CID), block_s=31 * 86_400),
    "an unread count below nothing": lambda: events.unread_update(ORG, UID, CID, -1),
    "an unread count that is a yes": lambda: events.unread_update(ORG, UID, CID, True),
    "a notification without an id": lambda: events.notification_new(ORG, UID, {"subject": "s"}),
    "progress that is no mapping": lambda: events.campaign_progress(ORG, CID, 5),  # type: ignore[arg-type]
    "progress of no campaign": lambda: events.campaign_progress(ORG, "x", {}),
    "a user who is none": lambda: events.disconnect_user(ORG, "a b"),
    "a room that is none": lambda: events.leave_room(ORG, UID, "lobby"),
}


@pytest.mark.parametrize("call", BAD.values(), ids=BAD)
def test_bad_arguments_are_refused_at_the_call(call: Callable[[], object]) -> None:
    with pytest.raises(InvalidEvent):
        call()
