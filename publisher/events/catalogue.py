"""The contract: every event that goes to browsers or comes from them, on one page.

The publisher's checks, `GET /asyncapi.json`, the READMEs' tables and the browser client's types are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from publisher.events import examples
from publisher.events.codes import TOKEN_CODES
from publisher.events.fields import Payload
from publisher.events.joining import Nothing

RoomKind = Literal["conversation", "organization", "user", "campaign", "socket"]
Delivery = Literal["recoverable", "ephemeral", "direct"]

FIRST = "0.1.0"


@dataclass(frozen=True, slots=True)
class Event:
    """An event to browsers. Backends may also publish other events, to rooms of any configured kind."""

    name: str
    payload: type[Payload]
    example: Payload
    rooms: tuple[RoomKind, ...]
    """Kinds of room that get the event; `socket` stands for the one socket that it is about."""
    delivery: Delivery
    """`recoverable`: carries its offset, and is replayed to sockets that missed it. `ephemeral`: delivered at most
    once, never replayed. `direct`: sent to one socket, about its connection."""
    by: Literal["backend", "gateway"] = "gateway"
    conflated: bool = False
    """Whether a backend may conflate the event, so that a socket gets only the latest of many."""
    note: str = ""
    since: str = FIRST


@dataclass(frozen=True, slots=True)
class Command:
    """An event that browsers send."""

    name: str
    payload: type[Payload]
    example: Payload
    answer: type[Payload]
    """The payload of its acknowledgement, besides `ok: true`."""
    answer_example: Payload
    event: str | None = None
    """The event that answers it if the browser wants no acknowledgement."""
    tells: str | None = None
    """The event that other sockets get because of it."""
    codes: tuple[str, ...] = ()
    """The codes with which it may fail, besides those of any event (`codes.ANY_EVENT`)."""
    note: str = ""
    since: str = FIRST


def _backend(
    name: str, example: Payload, *rooms: RoomKind, conflated: bool = False, note: str = "", since: str = FIRST
) -> Event:
    return Event(name, type(example), example, rooms, "recoverable", "backend", conflated, note, since)


def _presence(name: str, example: Payload, room: RoomKind, note: str = "") -> Event:
    return Event(name, type(example), example, (room,), "ephemeral", note=note)


def _direct(name: str, example: Payload, note: str = "") -> Event:
    return Event(name, type(example), example, ("socket",), "direct", note=note)


def _command(
    name: str,
    example: Payload,
    answer: Payload,
    event: str | None = None,
    *codes: str,
    tells: str | None = None,
    note: str = "",
) -> Command:
    return Command(name, type(example), example, type(answer), answer, event, tells, codes, note)


_TO_BROWSERS = (
    _backend("message:new", examples.MESSAGE, "conversation"),
    _backend("message:status", examples.STATUS, "conversation"),
    _backend("conversation:updated", examples.UPDATED, "organization", "user"),
    _backend("conversation:unread_update", examples.UNREAD, "user"),
    _backend("notification:new", examples.NOTIFICATION, "user"),
    _backend("campaign:progress", examples.PROGRESS, "campaign", conflated=True),
    _presence("user_typing", examples.TYPING, "conversation", "to the other members; ends by itself"),
    _presence("user:status", examples.ONLINE, "organization", "to the other users"),
    _presence(
        "user:statuses",
        examples.STATUSES,
        "organization",
        "instead of many `user:status`; only to sockets that connected with `statuses: true`",
    ),
    _presence("conversation:viewers", examples.VIEWERS, "conversation"),
    _direct(
        "connected",
        examples.CONNECTED,
        "once per connection, after the events of a recovery; carries an offset for the next recovery",
    ),
    _direct("joined_conversation", examples.JOINED_CONVERSATION),
    _direct("left_conversation", examples.LEFT_CONVERSATION, "also when it was removed from the conversation"),
    _direct("joined_room", examples.JOINED_ROOM),
    _direct("left_room", examples.LEFT_ROOM, "also when it was removed from the room"),
    _direct("pong", examples.PONG),
    _direct(
        "auth:expiring",
        examples.EXPIRING,
        "a minute before the token ends; after a refresh to less than two minutes, half-way to the end",
    ),
    _direct("error", examples.FAILED_EVENT, "when an event failed that asked for no acknowledgement"),
)

_FROM_BROWSERS = (
    _command(
        "join_conversation",
        examples.JOIN_CONVERSATION,
        examples.JOINED_CONVERSATION,
        "joined_conversation",
        "forbidden",
        "too_many_rooms",
        tells="conversation:viewers",
    ),
    _command("leave_conversation", examples.CONVERSATION, examples.LEFT_CONVERSATION, "left_conversation"),
    _command("join_room", examples.JOIN_ROOM, examples.JOINED_ROOM, "joined_room", "forbidden", "too_many_rooms"),
    _command("leave_room", examples.ROOM, examples.LEFT_ROOM, "left_room", "forbidden"),
    _command("typing_start", examples.CONVERSATION, Nothing(), None, "not_joined", tells="user_typing"),
    _command("typing_stop", examples.CONVERSATION, Nothing(), None, "not_joined", tells="user_typing"),
    _command("presence", examples.PRESENCE_QUERY, examples.PRESENCE, None, "not_joined"),
    _command("auth:refresh", examples.REFRESH, examples.REFRESHED, None, "forbidden", *TOKEN_CODES),
    _command("ping", Nothing(), examples.PONG, "pong"),
)

EVENTS = {event.name: event for event in _TO_BROWSERS}
COMMANDS = {command.name: command for command in _FROM_BROWSERS}
