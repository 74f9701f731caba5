"""Validation: what is held to the contract's types, what is said, and what it leaves alone."""

from __future__ import annotations

import enum
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from gateway.dev.embedded_redis import EmbeddedRedis
from publisher import AsyncPublisher, InvalidEvent, Options, Publisher, conversation
from publisher.envelope import Envelope, Validate, build_event
from publisher.events import checking
from tests.publisher.bus import Recorder, body
from tests.support.pytake import incoming_message, sent_message
from tests.support.tokens import new_id
from tests.support.waiting import PATIENCE_S

ORG, CID = new_id(), new_id()
PROGRESS = {"campaign_name": "Natal", "status": "running", "progress": Decimal("12.5"), "stats": {}}


@pytest.fixture(autouse=True)
def _said_anew() -> Iterator[None]:
    """Have every test begin with nothing said."""
    checking._warned.clear()
    yield
    checking._warned.clear()


def emit(event: str, data: Any, validate: Validate = "raise", **more: Any) -> Envelope:
    return build_event(ORG, event, data, conversation(CID), Options(validate=validate), **more)


def message(**changes: Any) -> dict[str, Any]:
    return incoming_message(CID) | changes


# -- what passes


def test_what_pytake_publishes_is_right() -> None:
    strict = Recorder(Options(validate="raise"))
    strict.message_new(ORG, incoming_message(CID), inbox=True, unread=3)
    strict.message_new(ORG, sent_message(CID))
    strict.message_status(ORG, CID, new_id(), "read")
    strict.unread_update(ORG, "bob", CID, 0)
    strict.campaign_progress(ORG, new_id(), PROGRESS)


class Direction(enum.Enum):
    INBOUND = "inbound"


class Content(BaseModel):
    text: str
    at: datetime


RIGHT: dict[str, dict[str, Any]] = {
    "a uuid as text": {"id": new_id()},
    "a uuid": {"id": uuid4()},
    "a time as text": {"created_at": "2026-01-05T11:30:00-03:00"},
    "a time": {"created_at": datetime.now(UTC)},
    "an enum": {"direction": Direction.INBOUND},
    "a model of pydantic": {"content": Content(text="Olá", at=datetime.now(UTC))},
    "a decimal where text may be": {"status": Decimal("1.5")},
    "null where it may be": {"whatsapp_message_id": None, "sent_at": None},
    "further keys": {"organization_id": UUID(ORG), "agent": {"name": "Ana"}},
}


@pytest.mark.parametrize("changes", RIGHT.values(), ids=RIGHT)
def test_what_encodes_to_the_right_type_passes(changes: dict[str, Any]) -> None:
    assert body(emit("message:new", message(**changes)))[1].keys() >= changes.keys()


def test_names_that_the_contract_does_not_have_are_free() -> None:
    assert body(emit("ticket:closed", 5)) == ["ticket:closed", 5]
    assert body(emit("message:new:x", {"id": "none"})) == ["message:new:x", {"id": "none"}]


# -- what does not


WRONG: dict[str, tuple[str, Any, str]] = {
    "an id": ("message:new", message(id="7"), "message:new: id must be a UUID"),
    "a number for text": ("message:new", message(status=5), "message:new: status must be text, not int"),
    "text for an object": ("message:new", message(content="Olá"), "content must be an object, not str"),
    "a word that is none of them": (
        "message:new",
        message(direction="up"),
        "direction must be one of inbound, outb",
    ),
    "null where it may not be": ("message:new", message(created_at=None), "created_at must be a time with a time"),
    "a time without a zone": (
        "message:new",
        message(created_at=datetime(2026, 1, 5)),
        "created_at must be a time",
    ),
    "one of two types": ("message:new", message(sent_at=1767623400), "sent_at must be a time .* or null, not int"),
    "a negative count": (
        "conversation:unread_update",
        {"conversation_id": CID, "unread_count": -1},
        "unread_count must be a whole number, 0 or more",
    ),
    "a yes for a count": (
        "conversation:unread_update",
        {"conversation_id": CID, "unread_count": True},
        "unread_count must be a whole number, 0 or more, not bool",
    ),
    "something in a list": (
        "user:statuses",
        {"online": ["ana", 5], "offline": []},
        r"online must be a list, .* not int at online\[1\]",
    ),
    "a key that is missing": (
        "message:status",
        {"message_id": new_id(), "status": "read", "timestamp": "2026-01-05T14:30:00Z"},
        "message:status: conversation_id is missing; it must be a UUID",
    ),
    "a list": ("message:new", [message()], "message:new: the data must be an object, not array"),
    "nothing": ("message:new", None, "message:new: the data must be an object, not null"),
}


@pytest.mark.parametrize(("event", "data", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_type_raises_and_says_which(event: str, data: Any, said: str) -> None:
    with pytest.raises(InvalidEvent, match=said):
        emit(event, data)


@pytest.mark.parametrize(("event", "data", "said"), WRONG.values(), ids=WRONG)
def test_off_does_not_look(event: str, data: Any, said: str) -> None:
    assert body(emit(event, data, "off"))[0] == event


@pytest.mark.parametrize("ephemeral", [False, True])
def test_ephemeral_events_are_looked_at_too(ephemeral: bool) -> None:
    with pytest.raises(InvalidEvent, match="user_id is missing"):
        emit("user_typing", {"conversation_id": CID, "typing": True}, ephemeral=ephemeral)


def test_an_inbox_is_looked_at_too(caplog: pytest.LogCaptureFixture) -> None:
    Recorder(Options(validate="warn")).message_new(ORG, message(message_type=5), inbox=True)
    assert [record.message.partition(" must")[0] for record in caplog.records] == [
        "message:new: message_type",
        "conversation:updated: message_type",
    ]


# -- warnings


def test_a_warning_comes_once_for_each_field_and_everything_is_published(caplog: pytest.LogCaptureFixture) -> None:
    secret = "what people write"
    for _ in range(3):
        emit("message:new", message(content=secret), "warn")
        emit("message:new", message(direction=secret), "warn")
        assert body(emit("notification:new", {}, "warn")) == ["notification:new", {}]
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 3
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "message:new: content must be an object, not str",
        "message:new: direction must be one of inbound, outbound",
        "notification:new: notification_id is missing",
    ]
    assert secret not in caplog.text


def test_what_is_right_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    emit("message:new", message(), "warn")
    assert caplog.records == []


# -- how it is asked for


async def test_both_publishers_take_it_and_raise_before_anything_is_sent(redis_server: EmbeddedRedis) -> None:
    async with AsyncPublisher.from_url(redis_server.url, timeout_s=PATIENCE_S, validate="raise") as events:
        with pytest.raises(InvalidEvent, match="content"):
            # At the call: nothing is awaited.
            _ = events.message_new(ORG, message(content=1))
        assert (await events.message_new(ORG, message())).offset
        assert events.counters.sent == 1
    with Publisher.from_url(redis_server.url, timeout_s=PATIENCE_S, validate="raise") as worker:
        with pytest.raises(InvalidEvent, match="content"):
            worker.message_new(ORG, message(content=1))
        assert worker.counters.sent == 0


async def test_it_is_one_of_the_options_and_from_url_adds_to_them(redis_server: EmbeddedRedis) -> None:
    options = Options(max_payload_bytes=2000, validate="raise")
    async with AsyncPublisher.from_url(redis_server.url, options=options) as events:
        with pytest.raises(InvalidEvent, match="content"):
            await events.message_new(ORG, message(content=1))
    patient: Any = {"options": options, "timeout_s": PATIENCE_S}
    async with AsyncPublisher.from_url(redis_server.url, **patient, validate="off") as events:
        assert (await events.message_new(ORG, message(content=1))).offset
        with pytest.raises(InvalidEvent, match="2000"):
            await events.message_new(ORG, message(content={"text": "x" * 2000}))


def test_another_word_is_an_error_at_once() -> None:
    with pytest.raises(ValueError, match="off, warn, raise"):
        Options(validate="yes")  # type: ignore[arg-type]


def test_who_does_not_want_it_does_not_load_it() -> None:
    lines = [
        "import sys, publisher.envelope",
        f"publisher.envelope.build_event({ORG!r}, 'message:new', {{}}, 'user:bob', publisher.Options())",
        "print([name for name in sys.modules if name.startswith('publisher.events')])",
    ]
    done = subprocess.run([sys.executable, "-c", "; ".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
