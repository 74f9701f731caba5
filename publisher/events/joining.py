"""The requests of a browser about rooms and presence, and their answers."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta

from publisher.events.fields import Absent, Count, OffsetText, Payload, RoomName, UserId, Uuid


class JoinOptions(Payload, kw_only=True):
    """The options of a join that ask for the room's history."""

    since: (
        Annotated[
            OffsetText, Meta(description="offset that the client has seen; the answer has the events after it")
        ]
        | Absent
    ) = UNSET
    history: Annotated[Count, Meta(description="the answer has this many last events")] | Absent = UNSET


class JoinConversation(JoinOptions, kw_only=True):
    """Join a conversation; a socket that is in it already gets an answer, too."""

    conversation_id: Uuid


class JoinRoom(JoinOptions, kw_only=True):
    """Join a room of another kind (`GATEWAY_ROOM_KINDS`)."""

    room: RoomName


class PastEvent(Payload, kw_only=True):
    """An event from a room's history."""

    event: str
    data: Any
    offset: OffsetText


class Joined(Payload, kw_only=True):
    """The answer to a join."""

    message: str
    offset: Annotated[OffsetText, Meta(description="the socket gets the room's events after this offset")]
    events: Annotated[list[PastEvent], Meta(description="oldest first")]
    complete: Annotated[
        bool,
        Meta(description="whether no event after `since` is missing; if false, load from the REST API"),
    ]


class JoinedConversation(Joined, kw_only=True):
    """The socket has joined a conversation."""

    conversation_id: Uuid


class JoinedRoom(Joined, kw_only=True):
    """The socket has joined a room."""

    room: RoomName


class ConversationRef(Payload, kw_only=True):
    """A request about one conversation."""

    conversation_id: Uuid


class LeftConversation(Payload, kw_only=True):
    """The socket is no longer in a conversation: it asked to leave, or was removed."""

    conversation_id: Uuid


class RoomRef(Payload, kw_only=True):
    """A request about one room."""

    room: RoomName


class LeftRoom(Payload, kw_only=True):
    """The socket is no longer in a room: it asked to leave, or was removed."""

    room: RoomName


class PresenceQuery(Payload, kw_only=True):
    """Ask which users are online, all or some of them, or who views a conversation and types in it."""

    user_ids: Annotated[list[UserId], Meta(max_length=1000)] | Absent = UNSET
    conversation_id: Annotated[Uuid, Meta(description="a conversation that the socket is in")] | Absent = UNSET


class Presence(Payload, kw_only=True):
    """The answer to `presence`: `online` about users, or all other keys about a conversation."""

    online: list[UserId] | Absent = UNSET
    conversation_id: Uuid | Absent = UNSET
    user_ids: list[UserId] | Absent = UNSET
    sockets: Count | Absent = UNSET
    typing: list[UserId] | Absent = UNSET


class Nothing(Payload, kw_only=True):
    """An empty payload."""
